"""Makes the training set: walks a log through the very pipeline that serves, point in time, and records its lists.

Before each chosen step a `request` goes into the log, as a shop would send it. What retrieval and encoder made of it
then, with the state and the counters as they were, is one list; what the user did in the step labels it. So a model is
trained on what it is served, and nothing of the future can be in a feature. A history that an alias moves comes back
right behind it, as the broker would bring it. Beside the lists stand users' sequences.
"""

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inference.tensors import FEATURES
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.contracts.topics import EVENTS
from streams.decode import Record
from streams.errors import Misuse
from streams.evaluation.log import Entry, signal
from streams.pipeline import Pipeline
from streams.settings import Settings
from streams.simulate import load_items, offline_pipeline, offline_settings, records, run
from training.lists import Lists, joined
from training.recording import Recorder
from training.sequences import Sequences
from training.splits import Limits, Wanted, choose
from training.steps import find_steps

SHARD_LISTS = 2_000
"""Lists a shard; a shard of training lists takes some 30 MB."""
BATCH_EVENTS = 500
"""Events between two refreshes of the counters: how stale they are in what is recorded, as in a busy worker's."""
META_FILE = "dataset.json"
Entries = Callable[[], Iterable[Entry]]
"""Gives the log that is learned from, each time anew."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Shards in a folder, what is known of them, and the sequences of the whole log."""

    folder: Path
    meta: dict[str, Any]
    sequences: Sequences

    def paths(self, split: str) -> list[Path]:
        """Return the shards of a split, in order of time.

        Raises:
            Misuse: there is none.
        """
        paths = sorted(self.folder.glob(f"{split}-*.npz"))
        if not paths:
            raise Misuse(f"{self.folder}: the split `{split}` is empty: the log is too short to learn from")
        return paths

    def whole(self, split: str) -> Lists:
        """Return all lists of a split at once."""
        return joined([Lists.load(path) for path in self.paths(split)])


def build(
    entries: Entries,
    items: Iterable[Item],
    out: Path,
    settings: Settings,
    *,
    limits: Limits,
    seed: int = 1,
    progress: Callable[[int], None] = lambda events: None,
) -> Dataset:
    """Walk a log, which is read three times, and write the shards to `out`; `progress` is told the events done.

    Raises:
        Misuse: the log can't be read, or is too short.
    """
    chosen = choose(find_steps(one for entry in entries() if (one := signal(entry)) is not None), limits, seed)
    sequences = Sequences.of((one for entry in entries() if (one := signal(entry)) is not None), chosen.train_from)
    pipeline = offline_pipeline(offline_settings(settings), None)
    load_items(pipeline, items)
    recorder = Recorder(pipeline, {_request_id(number): one for number, one in chosen.wanted.items()}, seed)
    pipeline.recommender = recorder
    _empty(out)
    lists = asyncio.run(_walk(pipeline, recorder, _with_requests(entries(), chosen.wanted), out, progress))
    meta = {
        "steps": chosen.steps,
        "lists": dict(lists),
        "features": list(FEATURES),
        "candidates": settings.candidates,
        "users": sequences.users,
        "items": len(sequences.ids),
        "signals": len(sequences.items),
        "seed": seed,
    }
    (out / META_FILE).write_text(json.dumps(meta, indent=1) + "\n", "utf-8")
    return Dataset(out, meta, sequences)


async def _walk(
    pipeline: Pipeline, recorder: Recorder, lines: Iterator[bytes], out: Path, progress: Callable[[int], None]
) -> Counter[str]:
    """Run a log with requests in it through the pipeline; return how many lists of each split were written."""
    lists, shards, done, moved = Counter[str](), Counter[str](), 0, deque[bytes]()
    log = records(_with_moved(lines, moved), 1)
    async for outcome in run(pipeline, log, partitions=1, batch_events=BATCH_EVENTS, ends=_is_alias):
        moved += (message.value for message in outcome.outbox.get(0, ()) if message.topic == EVENTS)
        done += outcome.stats.get("applied", 0)
        progress(done)
        for split, waiting in recorder.waiting().items():
            if waiting >= SHARD_LISTS:
                _write(recorder, split, out, lists, shards)
    for split in recorder.waiting():
        _write(recorder, split, out, lists, shards)
    return lists


def _write(recorder: Recorder, split: str, out: Path, lists: Counter[str], shards: Counter[str]) -> None:
    taken = recorder.take(split)
    taken.save(out / f"{split}-{shards[split]:04d}.npz")
    lists[split] += len(taken)
    shards[split] += 1


def _with_requests(entries: Iterable[Entry], wanted: Mapping[int, Wanted]) -> Iterator[bytes]:
    """Yield the log with a request before the first signal of each wanted step; its own requests are left out."""
    number = 0
    for entry in entries:
        if signal(entry) is not None:
            if number in wanted:
                step = wanted[number].step
                request = ev.Request(user_id=step.user_id, request_id=_request_id(number), at_ms=step.at_ms)
                yield msgspec.json.encode(request)
            number += 1
        if not isinstance(entry.event, ev.Request):
            yield entry.raw


def _with_moved(lines: Iterator[bytes], moved: deque[bytes]) -> Iterator[bytes]:
    """Yield the log, at any time first what is in `moved`."""
    for line in lines:
        while moved:
            yield moved.popleft()
        yield line


def _is_alias(record: Record) -> bool:
    return isinstance(ev.decode_event(record.value or b""), ev.Alias)


def _request_id(number: int) -> str:
    return f"step-{number}"


def _empty(folder: Path) -> None:
    """Make the folder, and remove what an earlier run left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.npz"), *folder.glob(META_FILE)):
        old.unlink()
