"""One long log of a few busy users, cut into batches of any size: the same states, counters and slates."""

import asyncio
import json
import random
from typing import Any

import pytest

from streams.store.memory import MemoryStore
from tests.support import counter_values
from tests.unit.building import RowRanker, at, item, records, run_all, started, states, wire

ITEMS = [item(f"i{n}", title=f"thing {n}", price=n) for n in range(12)]
KINDS = ["view"] * 4 + ["click", "cart", "uncart", "purchase", "search", "request", "request", "forget", "alias"]


def log(seed: int, size: int) -> list[bytes]:
    drawn, made = random.Random(seed), []
    for n in range(size):
        kind = drawn.choice(KINDS) if n % 50 else "forget"
        fields: dict[str, Any] = {"item_id": f"i{drawn.randrange(12)}"}
        if drawn.random() < 0.3:
            fields["event_id"] = f"e{drawn.randrange(20)}"
        if kind == "request":
            fields |= {
                "request_id": f"r{n}",
                "kind": drawn.choice(["for_you", "similar", "search", "rerank", "bundle"]),
            }
            fields |= {"query": "thing 3", "items": ["i1", "i2"]}
            fields |= {"filters": {"brand": ["none"]}} if drawn.random() < 0.3 else {}
        fields |= {"query": f"q{n}", "login": "u0"} if kind in ("search", "alias") else {}
        made.append(wire(kind, f"u{drawn.randrange(4)}", at(n + drawn.randrange(-5, 5)), **fields))
        made += [made[-1]] if drawn.random() < 0.05 else []
    return made


async def outcome(size: int, batch: int, cached_users: int) -> dict[str, Any]:
    store = MemoryStore()
    pipeline = await started(
        store, RowRanker(), ITEMS, cached_users=cached_users, snapshot_every_events=40, explore_share=0.5
    )
    numbered = records(log(1, size))
    outcomes = [one for i in range(0, len(numbered), batch) for one in await run_all(pipeline, numbered[i : i + batch])]
    bodies = [(m.topic, json.loads(m.value)) for one in outcomes for m in one.outbox[0]]
    return {
        "states": await states(store),
        "counters": {(row, name): n async for change in store.counts(0) for row, name, n in counter_values(change)},
        "stats": await store.stats([0]),
        "published": [(topic, {**body, "at_ms": 0, "latency_ms": 0}) for topic, body in bodies],
    }


@pytest.mark.parametrize(("batch", "cached_users"), [(1, 100), (7, 1), (31, 2)])
def test_cuts_dont_matter(batch: int, cached_users: int) -> None:
    whole = asyncio.run(outcome(300, 1_000, 100))
    assert len(whole["counters"]) > 50
    assert {"slates", "duplicates", "applied"} <= set(whole["stats"])
    assert any(one["propensity"] < 1 for _, body in whole["published"] for one in body.get("items", ()))
    assert asyncio.run(outcome(300, batch, cached_users)) == whole
