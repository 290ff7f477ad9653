"""Makes the training set: walks a log through the very pipeline that serves, point in time, and records its lists.

Before each chosen visit a `request` goes into the log, as a shop would send it. What retrieval and encoder made of it
then, with the state and the counters as they were, is one list; what the user did in the visit labels it. So a model is
trained on what it is served, and nothing of the future can be in a feature.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from inference.tensors import FEATURES
from streams.contracts import events as ev
from streams.contracts.items import Item, decode_item
from streams.errors import BadEvent, Misuse
from streams.event_log import EVENTS, ITEMS, find_file, read_lines
from streams.pipeline import Pipeline
from streams.settings import load_settings
from streams.simulate import load_items, offline_pipeline, records, run
from training.lists import Lists, joined
from training.recording import Recorder
from training.splits import SPLITS, Split, Wanted, choose
from training.visits import BOUGHT, Visit, day_ms, find_visits

SHARD_LISTS = 2_000
"""Lists a shard; a shard of training lists takes some 20 MB."""
BATCH_EVENTS = 2_000
"""Events between two refreshes of the counters: how stale they are in what is recorded, as in a busy worker's."""
META_FILE, PURCHASES_FILE = "dataset.json", "purchases.npy"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Shards in a folder, and what is known of them."""

    folder: Path
    meta: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Dataset":
        """Open what `build` made.

        Raises:
            Misuse: there is none, or it was made with other features.
        """
        try:
            meta = json.loads((folder / META_FILE).read_text("utf-8"))
        except (OSError, ValueError) as exc:
            raise Misuse(f"{folder}: holds no training set: {exc}") from exc
        if meta.get("features") != list(FEATURES):
            raise Misuse(f"{folder}: was made with other features; build it anew")
        return cls(folder, meta)

    def paths(self, split: str) -> list[Path]:
        """Return the shards of a split, in order of time.

        Raises:
            Misuse: there is none.
        """
        paths = sorted(self.folder.glob(f"{split}-*.npz"))
        if not paths:
            raise Misuse(f"{self.folder}: the split `{split}` is empty: the log has no visits in its range")
        return paths

    def whole(self, split: str) -> Lists:
        """Return all lists of a split at once."""
        return joined([Lists.load(path) for path in self.paths(split)])

    def end_of_test(self) -> int:
        """Return the end of the last split in ms; lists that begin later are first visits of their users."""
        return day_ms(self.meta["splits"][-1]["end"])

    def purchases_before_test(self) -> NDArray[np.int64]:
        """Return how many baskets held each item (catalogue index) before the last split."""
        counts: NDArray[np.int64] = np.load(self.folder / PURCHASES_FILE)
        return counts


def build(
    log: Path,
    out: Path,
    *,
    splits: Sequence[Split] = SPLITS,
    users: int | None = None,
    seed: int = 1,
    batch_events: int = BATCH_EVENTS,
    progress: Callable[[int], None] = lambda events: None,
) -> Dataset:
    """Walk `log` (a folder that `streamrank import` made) and write the shards to `out`.

    `users` limits the users that are asked for, drawn with the seed; all are folded. Of the last split each user's
    first visit is taken even if it lies after its end. The counters are refreshed every `batch_events`; `progress` is
    told how many events are through.

    Raises:
        Misuse: the log can't be read, or a line of it is no event or item.
    """
    events, items = find_file(log, EVENTS), find_file(log, ITEMS)
    visits = list(find_visits(read_lines(events)))
    wanted = choose(visits, splits, users, seed)
    settings = load_settings(partitions=1)
    pipeline = offline_pipeline(settings, None)
    load_items(pipeline, _items(items))
    recorder = Recorder(pipeline, {_request_id(line): one for line, one in wanted.items()}, settings.candidates, seed)
    pipeline.recommender = recorder
    _empty(out)
    log_lines = _with_requests(read_lines(events), wanted)
    lists = asyncio.run(_walk(pipeline, recorder, log_lines, batch_events, out, progress))
    np.save(out / PURCHASES_FILE, _purchases(pipeline, visits, day_ms(splits[-1].first)))
    meta = {
        "log": {path.name: _sha256(path) for path in (events, items)},
        "features": list(FEATURES),
        "list_names": list(recorder.list_names),
        "candidates": settings.candidates,
        "splits": [asdict(split) | {"lists": lists[split.name]} for split in splits],
        "users": len({visit.user_id for visit in visits}),
        "users_asked": users,
        "seed": seed,
    }
    (out / META_FILE).write_text(json.dumps(meta, indent=1) + "\n", "utf-8")
    return Dataset(out, meta)


async def _walk(
    pipeline: Pipeline,
    recorder: Recorder,
    lines: Iterable[bytes],
    batch_events: int,
    out: Path,
    progress: Callable[[int], None],
) -> Counter[str]:
    """Run a log with requests in it through the pipeline; return how many lists of each split were written."""
    lists, shards, done = Counter[str](), Counter[str](), 0
    async for _ in run(pipeline, records(lines, 1), partitions=1, batch_events=batch_events):
        done += batch_events
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


def _with_requests(lines: Iterable[tuple[int, bytes]], wanted: Mapping[int, Wanted]) -> Iterator[bytes]:
    """Yield the log with a request before the first line of each wanted visit."""
    for number, line in lines:
        if number in wanted:
            visit = wanted[number].visit
            request = ev.Request(user_id=visit.user_id, request_id=_request_id(number), at_ms=visit.at_ms)
            yield msgspec.json.encode(request)
        yield line


def _request_id(line: int) -> str:
    return f"visit-{line}"


def _purchases(pipeline: Pipeline, visits: Sequence[Visit], before_ms: int) -> NDArray[np.int64]:
    """Return how many visits before a time bought each item, by catalogue index."""
    index = pipeline.catalogue.index
    counts = np.zeros(len(index), np.int64)
    for visit in visits:
        if visit.at_ms < before_ms:
            counts[[index[item] for item, depth in visit.items.items() if depth == BOUGHT]] += 1
    return counts


def _items(path: Path) -> Iterator[Item]:
    for number, line in read_lines(path):
        try:
            yield decode_item(line)
        except BadEvent as exc:
            raise Misuse(f"{path.name}: line {number} is no item: {exc}") from exc


def _empty(folder: Path) -> None:
    """Make the folder, and remove what an earlier run left there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.np[yz]"), *folder.glob(META_FILE)):
        old.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
