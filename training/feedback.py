"""Joined feedback as lists to learn from: what was served, with the ranker's inputs as served, and what came of it.

The log of the topic `feedback` (JSON lines, or Parquet rows of the same fields) becomes the same `Lists` as a recorded
log; they know position and propensity, too. What nobody saw says nothing and is left out. What is repeated, as a topic
may, counts once; receipts are passed over.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from inference.tensors import CODE_LEVELS, FEATURES, HEADS, HISTORY, SEEDS
from streams.contracts.slates import Feedback, Shown, decode_feedback
from streams.errors import BadEvent, Misuse
from streams.event_log import read_lines
from streams.features.item import digest_of, hashed_id
from training.lists import Lists
from training.shards import LISTS


def feedback_lists(path: Path, size: int = LISTS) -> Iterator[Lists]:
    """Yield the lists of a log of feedback, `size` at a time; users are numbered as they come.

    Raises:
        Misuse: it can't be read; or a line is no feedback, was made by another tensor contract, or has an outcome that
            is older than its request: names the line.
    """
    users: dict[str, int] = {}
    records = (one for one in read_feedback(path) if any(shown.seen for shown in one.items))
    while some := list(islice(records, size)):
        yield _lists(some, users)


def read_feedback(path: Path) -> Iterator[Feedback]:
    """Yield each record of a log once.

    Raises:
        Misuse: as `feedback_lists`.
    """
    seen: set[int] = set()
    for number, raw in read_lines(path):
        try:
            one = decode_feedback(raw)
        except BadEvent as exc:
            raise Misuse(f"{path}:{number}: no feedback: {exc}") from exc
        if not isinstance(one, Feedback) or (digest := digest_of(one.feedback_id)) in seen:
            continue
        seen.add(digest)
        if (wrong := _wrong(one)) is not None:
            raise Misuse(f"{path}:{number}: {wrong}")
        yield one


def _wrong(one: Feedback) -> str | None:
    """Return what is wrong with a record."""
    sizes = {
        "seeds": (len(one.seeds), SEEDS),
        "history_ids": (len(one.history_ids), HISTORY),
        "history_codes": (len(one.history_codes), HISTORY),
    }
    if not one.items:
        return "$.items: is empty: nothing was shown"
    for place, shown in enumerate(one.items):
        if (shown.outcome is None) != (shown.outcome_ms is None):
            return f"$.items[{place}]: outcome and outcome_ms go together"
        if shown.outcome_ms is not None and shown.outcome_ms < one.at_ms:
            return f"$.items[{place}].outcome_ms: is before the request: a label from another slate, or a wrong clock"
        sizes |= {
            f"items[{place}].features": (len(shown.features), len(FEATURES)),
            f"items[{place}].pairs": (len(shown.pairs), 2 * SEEDS),
            f"items[{place}].item_code": (len(shown.item_code), CODE_LEVELS),
        }
    for name, (size, wanted) in sizes.items():
        if size != wanted:
            return f"$.{name}: has {size} numbers, not {wanted}: it was served by another tensor contract"
    return None


def _lists(records: list[Feedback], users: dict[str, int]) -> Lists:
    seen = [[one for one in record.items if one.seen] for record in records]
    shown = [one for items in seen for one in items]
    return Lists(
        features=np.array([one.features for one in shown], np.float32),
        pairs=np.array([one.pairs for one in shown], np.float32),
        item_ids=np.array([hashed_id(digest_of(one.item_id)) for one in shown], np.int32),
        item_codes=np.array([one.item_code for one in shown], np.int32),
        depth=np.array([_depth(one) for one in shown], np.uint8),
        weight=np.ones(len(shown), np.float32),
        offsets=np.cumsum([0, *map(len, seen)]),
        seeds=np.array([record.seeds for record in records], np.float32),
        history_ids=np.array([record.history_ids for record in records], np.int32),
        history_codes=np.array([record.history_codes for record in records], np.int32),
        users=np.array([users.setdefault(record.user_id, len(users)) for record in records], np.int32),
        targets=np.array([_wanted(record.items) + record.missed for record in records], np.int32),
        at_ms=np.array([record.at_ms for record in records], np.int64),
        position=np.array([one.position for one in shown], np.int32),
        propensity=np.array([one.propensity for one in shown], np.float32),
    )


def _depth(one: Shown) -> int:
    return 0 if one.outcome is None else HEADS.index(one.outcome) + 1


def _wanted(items: Iterable[Shown]) -> int:
    return sum(one.outcome is not None for one in items)
