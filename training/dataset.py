"""The training set of a log: lists as they would have been served, labelled by what came, and users' sequences.

`clean.py` says which signals are learned from, `splits.py` which steps, `walk.py` records their lists. A data set is
made once for the same log, settings and recipe, and kept (`cache.py`). It is never in memory as a whole: it is written
and read a shard at a time.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.tensors import FEATURES
from streams.errors import Misuse
from streams.features.user import FOLD_VERSION
from streams.settings import Settings
from streams.simulate import load_items, offline_pipeline, offline_settings
from training.cache import kept, key_of
from training.clean import Cleaner
from training.lesson import Lesson, sha256_of
from training.lists import Lists, joined
from training.periods import Periods, choose_periods
from training.recipe import Recipe
from training.sequences import Growing, Sequences
from training.shards import LISTS, contract
from training.splits import TRAIN, choose
from training.steps import find_steps
from training.walk import BATCH_EVENTS, SUFFIX, Walk

META_FILE = "dataset.json"
SEQUENCES_FILE = "sequences.npz"
Progress = Callable[[str, int | None], None]
"""Told what is going on, and where there is a count, how far it is."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Shards in a folder, what is known of them, and the sequences of the whole log."""

    folder: Path
    meta: dict[str, Any]
    sequences: Sequences
    added: tuple[Path, ...] = ()
    """More shards to learn from."""

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Return what `build` made in a folder.

        Raises:
            Misuse: it isn't whole any more.
        """
        try:
            meta = json.loads((folder / META_FILE).read_text("utf-8"))
        except (OSError, ValueError) as exc:
            raise Misuse(f"{folder / META_FILE}: cannot be read: remove the folder, and train again") from exc
        there = Counter(_split(path.stem) for path in folder.glob(f"*{SUFFIX}"))
        if there != meta["shards"]:
            raise Misuse(f"{folder}: shards are missing: remove the folder, and train again")
        return cls(folder, meta, Sequences.load(folder / SEQUENCES_FILE))

    def paths(self, split: str) -> list[Path]:
        """Return the shards of a split, in order of time.

        Raises:
            Misuse: there is none.
        """
        paths = sorted(self.folder.glob(f"{split}-*{SUFFIX}"))
        if not paths:
            raise Misuse(f"{self.folder}: the split `{split}` is empty: the log is too short to learn from")
        return [*paths, *self.added] if split == TRAIN else paths

    def whole(self, split: str) -> Lists:
        """Return all lists of a split at once."""
        return joined([Lists.load(path) for path in self.paths(split)])


def build(
    lesson: Lesson,
    work: Path,
    settings: Settings,
    recipe: Recipe,
    *,
    periods: Periods | None = None,
    processes: int = 1,
    progress: Progress = lambda what, count: None,
) -> Dataset:
    """Return the data set of a lesson, from `work` if it was made there before; else the log is read three times.

    With `periods` its splits are theirs.

    Raises:
        Misuse: the log can't be read, or is too short; or a data set that was made before isn't whole any more.
        StreamrankError: as `Walk.record`.
    """
    facts = lesson.identity() | {
        "limits": asdict(recipe.limits),
        "cleaning": asdict(recipe.cleaning),
        "seed": recipe.seed,
        "fold": FOLD_VERSION,
        "contract": contract(),
        "candidates": settings.candidates,
        "sources": list(settings.sources),
        "encoder_sha256": settings.encoder and sha256_of(*_encoder_files(settings.encoder, settings.encoder_version)),
        "batch_events": BATCH_EVENTS,
        "shard_lists": LISTS,
    }
    if periods is not None:
        facts["periods"] = asdict(periods)
    key = key_of(facts)

    def make(folder: Path) -> None:
        _write(folder, {"key": key} | facts, lesson, settings, recipe, periods, processes, progress)

    folder = kept(work, key, make, lambda: progress(f"waiting for another training in {work}", None))
    return Dataset.open(folder)


def _write(
    out: Path,
    facts: dict[str, Any],
    lesson: Lesson,
    settings: Settings,
    recipe: Recipe,
    periods: Periods | None,
    processes: int,
    progress: Progress,
) -> None:
    """Walk the log, and write all of a data set."""
    progress("reading the log", 0)
    cleaner = Cleaner.survey(lesson.entries(), recipe.cleaning)
    growing = Growing()
    steps = find_steps(growing.through(cleaner.signals(lesson.entries())))
    if periods is None:
        chosen = choose(steps, recipe.limits, recipe.seed)
    else:
        chosen = choose_periods(steps, periods, recipe.limits, recipe.seed)
    left_out = cleaner.told() | {"repeated_event_ids": lesson.log.repeated, "rejected": lesson.log.rejected}
    progress(f"cleaning left out {', '.join(f'{count:,} {why}' for why, count in left_out.items())}", None)
    pipeline = offline_pipeline(offline_settings(settings), None)
    load_items(pipeline, lesson.items())
    sequences = growing.sequences(chosen.train_from, chosen.validation_from, pipeline.catalogue, chosen.until)
    sequences.save(out / SEQUENCES_FILE)
    walk = Walk(lesson.entries, pipeline, chosen.wanted, recipe.seed, out)
    lists = walk.record(processes, lambda events: progress("walking the log", events))
    meta = facts | {
        "steps": chosen.steps,
        "lists": _by_split(lists),
        "shards": dict(Counter(_split(shard) for shard in lists)),
        "left_out": left_out,
        "features": list(FEATURES),
        "users": sequences.users,
        "items": len(sequences.ids),
        "signals": len(sequences.items),
    }
    (out / META_FILE).write_text(json.dumps(meta, indent=1) + "\n", "utf-8")


def _encoder_files(folder: Path, version: int) -> list[Path]:
    return sorted(path for path in (folder / str(version)).rglob("*") if path.is_file())


def _split(shard: str) -> str:
    return shard.rpartition("-")[0]


def _by_split(lists: Counter[str]) -> dict[str, int]:
    found = Counter[str]()
    for shard in sorted(lists):
        found[_split(shard)] += lists[shard]
    return dict(found)
