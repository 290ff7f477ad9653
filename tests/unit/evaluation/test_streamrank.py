"""Streamrank as it is evaluated is Streamrank as it runs: the same states, and the same slate at the same place."""

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inference.onnx_ranker import OnnxRanker
from inference.ranker import Ranked, Ranker, RankerInputs
from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.contracts.topics import EVENTS, RECOMMENDATIONS
from streams.errors import RankerUnavailable
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log
from streams.evaluation.streamrank import Answer, Streamrank
from streams.settings import SHIPPED_MODELS
from streams.simulate import load_items, offline_pipeline, records, run
from streams.store.memory import MemoryStore
from tests.logs import shop_log
from tests.unit.building import DeadRanker, RowRanker, at, item, settings, states, wire
from tests.unit.evaluation.files import click, log_of, write

CATALOGUE = [item(f"i{n}", title=f"thing {n}", category=[f"c{n % 4}"], in_stock=n % 17 != 0) for n in range(110)]
"""Not all of the shop's 120 items."""


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    folder = tmp_path_factory.mktemp("log")
    return list(Log(write(folder, (value for _, value in shop_log(3_000, users=60, seed=5))) / "events.jsonl"))


def streamrank(
    *events: Entry, ranker: Ranker | None = None, items: list[Item] = CATALOGUE, **fields: Any
) -> Streamrank:
    """Return Streamrank as it is after these events."""
    made = Streamrank(settings(**fields), items, ranker or RowRanker())
    for entry in events:
        made.learn(entry)
    made.flush()
    return made


class Live:
    """The pipeline over a log as the worker runs it, with counters that are always fresh."""

    def __init__(self, lines: list[bytes]) -> None:
        self.store = MemoryStore()
        self.slates: dict[str, dict[str, Any]] = {}
        self._waiting = deque(lines)
        asyncio.run(self._run())

    async def _run(self) -> None:
        pipeline = offline_pipeline(settings(), RowRanker(), self.store)
        load_items(pipeline, CATALOGUE)
        async for outcome in run(pipeline, records(self._taken(), 1), partitions=1, batch_events=1):
            for message in outcome.outbox.get(0, ()):
                if message.topic == EVENTS:
                    self._waiting.appendleft(message.value)
                elif message.topic == RECOMMENDATIONS:
                    slate = msgspec.json.decode(message.value)
                    self.slates[slate["request_id"]] = slate

    def _taken(self) -> Iterator[bytes]:
        while self._waiting:
            yield self._waiting.popleft()


@pytest.fixture(scope="module")
def live(entries: list[Entry]) -> Live:
    return Live([entry.raw for entry in entries])


async def counted(store: MemoryStore) -> dict[str, dict[str, int]]:
    """Return all counters."""
    return {
        row.name: dict(zip(row.fields, row.values, strict=True))
        async for change in store.counts(0)
        for row in change.rows
    }


def test_the_slate_of_a_case_is_that_of_a_request_at_its_place(entries: list[Entry], live: Live) -> None:
    one, compared = streamrank(), 0
    for entry in entries:
        event = entry.event
        if isinstance(event, ev.Request):
            slate = live.slates[event.request_id]
            (answer,) = one.rank([Case(event.user_id, entry.at_ms, (), ("x",), kind="purchase")], event.k)
            assert slate["served_by"] == "triton"
            assert answer.items == [shown["item_id"] for shown in slate["items"]]
            assert answer.sources == [shown["source"] for shown in slate["items"]]
            assert answer.p == [shown["p"]["purchase"] for shown in slate["items"]]
            compared += len(answer.items)
        one.learn(entry)
    assert compared > 200


@pytest.mark.parametrize("every", [1, 77, 10_000])
def test_states_and_counters_are_those_of_the_pipeline_wherever_cases_come(
    entries: list[Entry], live: Live, every: int
) -> None:
    one = streamrank()
    for n, entry in enumerate(entries, 1):
        one.learn(entry)
        if n % every == 0:
            one.prepare()
    one.prepare()
    store = one._store  # noqa: SLF001 (what is compared)
    found = asyncio.run(states(store))
    assert found == asyncio.run(states(live.store))
    assert asyncio.run(counted(store)) == asyncio.run(counted(live.store))
    assert any(state.absorbed for state in found.values()), "some history moved to a login"


def test_a_request_that_is_learned_is_not_answered(tmp_path: Path) -> None:
    ranker = RowRanker()
    streamrank(*log_of(tmp_path, click("u", "i1", 0), wire("request", "u", at(1), request_id="r")), ranker=ranker)
    assert ranker.calls == []


def asked(entries: list[Entry], size: int, **fields: Any) -> list[Case]:
    users = [*sorted({entry.event.user_id for entry in entries}), "nobody"]
    return [Case(users[n * 7 % len(users)], entries[-1].at_ms + n, (), ("i1",), **fields) for n in range(size)]


@pytest.mark.parametrize("shipped", [False, True])
def test_an_answer_does_not_depend_on_what_else_is_asked(entries: list[Entry], shipped: bool) -> None:
    ranker = OnnxRanker(SHIPPED_MODELS / "ranker", 1) if shipped else RowRanker()
    one, cases = streamrank(*entries, ranker=ranker), asked(entries, 150)
    together = one.rank(cases, 10)
    assert [one.rank([case], 10)[0] for case in cases[::10]] == together[::10]
    assert one.rank(cases[::-1], 10) == together[::-1]


def test_cases_teach_nothing(entries: list[Entry]) -> None:
    one, another = streamrank(*entries), streamrank(*entries)
    new = Case("u1", entries[-1].at_ms, ("unheard", "of"), ("i1",), unlearned=2)
    one.rank([new, Case("u1", entries[-1].at_ms, (), ("i1",), given=("i1", "never-met"))], 10)
    cases = asked(entries, 30)
    assert one.rank(cases, 100) == another.rank(cases, 100)
    assert one.item_ids == another.item_ids == [thing.item_id for thing in CATALOGUE]


def test_masked_items_are_never_shown(entries: list[Entry]) -> None:
    one = streamrank(*entries)
    free = one.rank(asked(entries, 20), 10)
    masked = frozenset(shown for answer in free for shown in answer.items[::2])
    assert masked
    for answer in one.rank(asked(entries, 20, masked=masked), 50):
        assert answer.items
        assert not masked & set(answer.items)


def test_only_given_items_are_ranked(entries: list[Entry]) -> None:
    given = ("i1", "i2", "i0", "i3", "never-met")
    for answer in streamrank(*entries).rank(asked(entries, 20, given=given), 10):
        assert set(answer.items) == set(given) - {"i0"}, "i0 is out of stock"
        assert set(answer.sources) == {"request"}


class Broken:
    """Fails as no ranker should."""

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        raise ValueError("no")


@pytest.mark.parametrize(("ranker", "said"), [(DeadRanker(), "did not answer within 100 ms"), (Broken(), "ValueError")])
def test_a_ranker_that_fails_is_no_blend_but_an_error(entries: list[Entry], ranker: Ranker, said: str) -> None:
    one = streamrank(*entries[:50], ranker=ranker)
    with pytest.raises(RankerUnavailable, match=f"the ranker to be evaluated did not answer: .*{said}"):
        one.rank(asked(entries, 3), 10)


def test_without_a_ranker_the_blend_answers_without_probabilities(entries: list[Entry]) -> None:
    one = Streamrank(settings(), CATALOGUE, None)
    for entry in entries:
        one.learn(entry)
    answers = one.rank(asked(entries, 10), 10)
    assert all(answer.items and not answer.p for answer in answers)


def of_own_items(tmp_path: Path, *cases: Case) -> list[Answer]:
    """Return the answers of a Streamrank that recommends nothing but a user's own items: u had a and b."""
    log = log_of(tmp_path, click("u", "a", 0), click("u", "b", 1), click("v", "c", 2))
    return streamrank(*log, items=[], sources=("repeat",)).rank(list(cases), 10)


def test_unlearned_items_are_the_users_own_and_a_fresh_session_has_no_other(tmp_path: Path) -> None:
    known, late, fresh, new = (
        set(answer.items)
        for answer in of_own_items(
            tmp_path,
            Case("u", at(9), ("a", "b"), ("x",)),
            Case("u", at(9), ("a", "b", "q"), ("x",), unlearned=1),
            Case("u", at(9), ("q", "c"), ("x",), unlearned=2),
            Case("nobody", at(9), (), ("x",)),
        )
    )
    assert (known, late, fresh, new) == ({"a", "b"}, {"a", "b", "q"}, {"q", "c"}, set())


def test_the_ceiling_is_the_share_of_targets_among_the_candidates(tmp_path: Path) -> None:
    targets = [("a",), ("c",), ("never-met",), ("a", "b", "c", "d")]
    answers = of_own_items(tmp_path, *(Case("u", at(9), ("a", "b"), one) for one in targets))
    assert [answer.ceiling for answer in answers] == [1.0, 0.0, 0.0, 0.5]


def test_a_state_expires_as_in_the_worker(tmp_path: Path) -> None:
    (answer,) = of_own_items(tmp_path, Case("u", at(500 * 1440), ("a", "b"), ("x",)))
    assert (answer.items, answer.ceiling) == ([], 0.0)
