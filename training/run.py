"""The first ranker from a log, end to end: walk, fit, evaluate, export, manifest.

streamrank import complete-journey runs/complete-journey
streamrank train --log runs/complete-journey --out runs/train/models/ranker
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streams.errors import BadModel
from training.dataset import Dataset, build
from training.evaluate import Report, evaluate, rounded
from training.export import export
from training.fit import Fitted, Recipe, fit, probabilities
from training.manifest import write_manifest

Progress = Callable[[str, int | None], None]
"""Told what is going on, and where there is a count, how far it is."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training: the manifest as written, and the reports in it."""

    path: Path
    manifest: dict[str, Any]
    reports: list[Report]
    fitted: Fitted


def train(
    log: Path,
    out: Path,
    shards: Path,
    *,
    recipe: Recipe,
    source: str,
    users: int | None = None,
    version: int = 1,
    reuse: bool = False,
    progress: Progress = lambda what, count: None,
) -> Trained:
    """Train on `log` and write `<out>/<version>/model.onnx` and its manifest; `shards` is scratch.

    `reuse` takes the shards as an earlier call left them.

    Raises:
        Misuse: the log can't be read or has nothing to learn from.
        BadModel: the file failed a check, or is no better than the best single source of candidates.
    """
    if reuse:
        dataset = Dataset.open(shards)
    else:
        dataset = build(log, shards, users=users, seed=recipe.seed, progress=lambda n: progress("walking the log", n))
    fitted = fit(dataset, recipe, lambda line: progress(line, None))
    progress("evaluating", None)
    test = dataset.whole("test")
    reports = evaluate(dataset, test, probabilities(fitted.student, test), recipe.seed)
    path = export(fitted.student, out, version)
    manifest = write_manifest(out, version, dataset, source, recipe, fitted, reports)
    return Trained(path, manifest, reports, fitted)


def check(reports: list[Report]) -> None:
    """Refuse a ranker that is not better than the best single source, with its whole interval.

    Raises:
        BadModel: it isn't, by the first protocol.
    """
    first = reports[0]
    if not first.beats_best_source():
        lead = first.leads[first.best_source()]
        told = json.dumps({name: rounded(interval) for name, interval in lead.items()})
        raise BadModel(f"the ranker doesn't beat the source `{first.best_source()}` alone: its lead is {told}")
