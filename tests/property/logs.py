"""Random logs of events, small enough in users and items that everything meets everything."""

import json
from typing import Any

from hypothesis import strategies as st

from streams.contracts.partition import partition_of
from streams.decode import Record
from tests.unit.building import T0

USERS = ["u1", "u2", "ü3"]
ITEMS = [f"i{n}" for n in range(6)]
MINUTE = 60_000
_offsets = st.one_of(
    st.integers(-30, 400), st.integers(-600, 600).map(lambda day: day * 1440), st.integers(-100_000, 100_000)
)
times = _offsets.map(lambda minutes: T0 + minutes * MINUTE)
items = st.sampled_from(ITEMS)
_ids = st.sampled_from([f"e{n}" for n in range(5)])
_of_an_item: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "view": {}, "click": {}, "cart": {}, "uncart": {},
    "purchase": {"order_id": st.sampled_from(["o1", "o2", "o3"])},
    "rating": {"value": st.sampled_from([0, 1.5, 3, 4, 5])},
    "review": {"text": st.just("fits")},
}  # fmt: skip
_requests = {
    "request_id": st.just("r"),
    "kind": st.sampled_from(["for_you", "similar", "search", "rerank", "bundle"]),
    "item_id": items,
    "items": st.lists(items, min_size=1, max_size=4),
    "query": st.sampled_from(["thing", "i1 i2"]),
    "filters": st.sampled_from([{}, {"brand": ["none"]}, {"exclude": ["i1"]}, {"max_price": 2}]),
}
_others: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "search": {"query": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)},
    "impression": {"request_id": st.just("r"), "items": st.lists(items, max_size=3)},
    "request": _requests,
    "forget": {},
    "alias": {"login": st.sampled_from(USERS)},
}


def _event(name: str, fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"type": st.just(name), "user_id": st.sampled_from(USERS), "at_ms": times, **fields},
        optional={"event_id": _ids},
    )


fields = st.one_of(
    *(_event(name, {"item_id": items, **more}) for name, more in _of_an_item.items()),
    *(_event(name, more) for name, more in _others.items()),
    _event("request", _requests),
    _event("request", _requests),
)
"""The fields of one valid event."""
logs = st.integers(0, 25).flatmap(lambda size: st.lists(fields, min_size=size, max_size=size))


def records(log: list[dict[str, Any]], partitions: int) -> list[Record]:
    """Number a log as the broker would, under Kafka timestamps that are late but never early; a bad record between."""
    offsets, made = [0] * partitions, []
    for event in log:
        key = event["user_id"].encode()
        p = partition_of(key, partitions)
        value = json.dumps(event).encode()
        made.append(Record(p, offsets[p], key, value[:-1] if len(value) % 11 == 0 else value, event["at_ms"] + 5))
        offsets[p] += 1
    return made
