"""What a smaller file costs and saves: size, NDCG on validation lists, and time in onnxruntime on one thread."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.ranker import RankerInputs
from inference.tensors import RANKER_INPUTS, Target, config_pbtxt
from streams.errors import Misuse
from streams.slate.select import worth
from training.export import export
from training.fit import TOP, ranked_ndcg
from training.lists import Lists, batches, joined
from training.prune import narrowed
from training.splits import VALIDATION
from training.staged import write_whole
from training.student import Student
from training.student_file import load_student
from training.walk import SUFFIX

CALLS = 200
"""Calls of which the median is told."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A file: `ms` is the median of one request of 200 candidates; `ndcg` is None without lists to measure on."""

    bytes: int
    ms: float
    ndcg: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """What was written where, beside the same student in full (None: it is in full)."""

    path: Path
    made: Measured
    whole: Measured | None

    def lines(self) -> Iterator[str]:
        """Yield it for people."""
        yield f"{self.path}: {self.made.bytes / 1e6:.2f} MB, {self.made.ms:.3f} ms for 200 candidates on one thread"
        if self.made.ndcg is not None:
            yield f"validation ndcg@{TOP} {self.made.ndcg:.4f}"
        if self.whole is not None:
            yield f"in full {self.whole.bytes / 1e6:.2f} MB, {self.whole.ms:.3f} ms"
            if self.whole.ndcg and self.made.ndcg is not None:
                lost = 1 - self.made.ndcg / self.whole.ndcg
                yield f"in full ndcg@{TOP} {self.whole.ndcg:.4f}: {lost:.2%} of it is lost"

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self) | {"path": str(self.path)}


def export_student(
    checkpoint: Path,
    folder: Path,
    version: int,
    *,
    target: Target,
    int8: bool = False,
    narrow: float = 1.0,
    lists: Path | None = None,
) -> Report:
    """Write a version and the folder's config; `lists` is a folder of lists, of which the validation ones judge.

    Raises:
        Misuse: there is no such checkpoint, or there are no such lists.
        BadModel: the checkpoint or the file made of it failed a check.
    """
    student = load_student(checkpoint)
    judges = None if lists is None else _validation(lists)
    path = export(narrowed(student, narrow) if narrow < 1 else student, folder, version, int8=int8)
    write_whole(folder / "config.pbtxt", config_pbtxt(folder.name, target).encode())
    whole = None
    if int8 or narrow < 1:
        with tempfile.TemporaryDirectory(prefix="streamrank-export-") as scratch:
            whole = _of_student(student, Path(scratch) / "ranker", judges)
    return Report(path, _measured(OnnxRanker(folder, version), path, judges), whole)


def _of_student(student: Student, folder: Path, judges: Lists | None) -> Measured:
    path = export(student, folder, 1)
    return _measured(OnnxRanker(folder, 1), path, judges)


def _measured(ranker: OnnxRanker, path: Path, judges: Lists | None) -> Measured:
    request = next(one for one in golden_inputs() if one.item_ids.shape == (1, 200))
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        ranker.score(request)
        took.append(time.perf_counter() - began)
    ndcg = None if judges is None else round(ranked_ndcg(worth(_scored(ranker, judges)), judges), 6)
    return Measured(path.stat().st_size, round(1000 * statistics.median(took), 4), ndcg)


def _scored(ranker: OnnxRanker, lists: Lists) -> NDArray[np.float32]:
    """Return the file's p for every candidate of all lists, (R, H)."""
    found = []
    for one in batches(lists, 32):
        inputs = RankerInputs(**{tensor.name: getattr(one, tensor.name) for tensor in RANKER_INPUTS})
        found.append(ranker.score(inputs)[one.weight > 0])
    return np.concatenate(found)


def _validation(folder: Path) -> Lists:
    paths = sorted(folder.glob(f"{VALIDATION}-*{SUFFIX}"))
    if not paths:
        raise Misuse(
            f"{folder}: holds no validation lists: name a data set, lists/KEY in the --work folder of a training"
        )
    return joined([Lists.load(path) for path in paths])
