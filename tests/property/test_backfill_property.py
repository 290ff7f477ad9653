"""However many processes share a log, and wherever they were stopped, the state is that of the pipeline."""

import asyncio
import gc
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.backfill import processes
from streams.backfill.processes import Share, fold_share
from streams.backfill.survey import survey
from streams.contracts.partition import partition_of
from streams.event_log import EventLog
from streams.settings import Settings
from streams.store.base import Position
from streams.store.memory import MemoryStore
from tests.backfilled import contents, reference, write_log
from tests.logs import START_MS

SETTINGS = Settings(partitions=4)
HOMES = {f"u{n}": partition_of(f"u{n}".encode(), SETTINGS.partitions) for n in range(60)}
USERS = [user for p in range(SETTINGS.partitions) for user in [name for name, home in HOMES.items() if home == p][:2]]


class Stopped(Exception):
    """The process was ended."""


def lines(draws: Sequence[tuple[str, str, str]]) -> list[bytes]:
    made = []
    for n, (kind, user, other) in enumerate(draws):
        more: dict[str, Any] = {"alias": {"login": other}, "forget": {}}.get(kind, {"item_id": other})
        made.append(
            msgspec.json.encode({"type": kind, "user_id": user, "at_ms": START_MS + n, "event_id": f"e{n}"} | more)
        )
    return made


async def backfilled(path: Path, count: int, stop_after: int) -> MemoryStore:
    """Fold in `count` shares, each ended after `stop_after` commits, again and again until the log is through."""
    store = MemoryStore()
    found = survey(EventLog(path), SETTINGS.partitions, lambda line, why: None, lambda: None)
    for n in range(count):
        mine = [p for p in range(SETTINGS.partitions) if p % count == n]
        for _ in range(1_000):
            stored = await store.positions(mine)
            share = Share(
                path, SETTINGS, {p: stored[p] or Position() for p in mine}, found.aliases, "", 1, gc.get_threshold()
            )
            told = 0

            def tell(_: object) -> None:
                nonlocal told
                told += 1
                if told > stop_after:
                    raise Stopped

            try:
                await fold_share(share, store, tell)
                break
            except Stopped:
                pass
        else:
            pytest.fail("a share that never ends")
    return store


@given(
    draws=st.lists(
        st.tuples(
            st.sampled_from(["view", "purchase", "alias", "alias", "forget"]),
            st.sampled_from(USERS),
            st.sampled_from(USERS),
        ),
        min_size=1,
        max_size=40,
    ),
    count=st.integers(1, 4),
    stop_after=st.integers(1, 3),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_state_depends_neither_on_processes_nor_on_interruptions(
    monkeypatch: pytest.MonkeyPatch, draws: list[tuple[str, str, str]], count: int, stop_after: int
) -> None:
    monkeypatch.setattr(processes, "WAITING_RECORDS", 3)
    log = lines(draws)
    with tempfile.TemporaryDirectory() as folder:
        path = write_log(Path(folder) / "log.jsonl", log)
        store = asyncio.run(backfilled(path, count, stop_after))
    expected = asyncio.run(reference(log, SETTINGS))
    assert asyncio.run(contents(store, SETTINGS)) == asyncio.run(contents(expected, SETTINGS))
