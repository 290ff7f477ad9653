import numpy as np
import pytest

from inference.tensors import HEADS, SEEDS
from streams.contracts.slates import SlateItem
from streams.features.encode import Candidates
from streams.features.item import Catalogue
from streams.retrieval.blend import Retriever
from streams.slate.select import HEAD_WORTH, select, worth
from tests.unit.building import item

SOURCES = Retriever(1).source_names
REASONS = {
    "repeat": "bought before", "trending_category": "trending in its category", "trending": "trending now",
    "popular": "popular", "new": "new", "catalogue": "from the catalogue",
    "title": "matches the search", "request": "given by the caller",
}  # fmt: skip
NAMING = {"covisit": "often chosen with ", "semantic": "like "}
"""Sources whose reason names the item that led there."""


def catalogue(*names: str) -> Catalogue:
    known = Catalogue()
    for name in names:
        known.index_of(name)
    return known


def candidates(count: int, sources: list[int] | None = None, because: list[int] | None = None) -> Candidates:
    zeros = np.zeros(count)
    return Candidates(
        items=np.arange(count),
        sources=np.array(sources or [0] * count),
        because=np.array(because or [-1] * count),
        fused=zeros,
        pairs=np.zeros((count, SEEDS)),
        counts=np.zeros((count, 2 * SEEDS), np.float32),
        seeds=np.zeros(0),
        log_trend=zeros,
        log_popular=zeros,
    )


def selected(known: Catalogue, scores: list[float], k: int, p: list[list[float]] | None = None) -> list[SlateItem]:
    ranked = None if p is None else np.array(p, np.float32)
    return select(candidates(len(scores)), np.array(scores), ranked, k=k, catalogue=known, source_names=SOURCES)


def test_the_best_come_first_and_at_most_k() -> None:
    items = selected(catalogue(*"abcd"), [0.1, 0.4, 0.2, 0.3], 3)
    assert [one.item_id for one in items] == ["b", "d", "c"]
    assert [one.score for one in items] == [0.4, 0.3, 0.2]
    assert len(selected(catalogue(*"abcd"), [0.1, 0.4, 0.2, 0.3], 9)) == 4
    assert selected(catalogue(), [], 5) == []


def test_ties_are_broken_the_same_way_in_every_process() -> None:
    names = [f"i{n}" for n in range(20)]
    orders = [[one.item_id for one in selected(catalogue(*order), [0.5] * 20, 20)] for order in (names, names[::-1])]
    assert orders[0] == orders[1]


def test_each_item_keeps_its_own_probabilities() -> None:
    items = selected(catalogue("a", "b"), [0.1, 0.9], 2, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
    assert [one.p for one in items] == [
        dict(zip(HEADS, row, strict=True)) for row in ([0.4, 0.5, 0.6], [0.1, 0.2, 0.3])
    ]
    assert selected(catalogue("a"), [0.1], 1)[0].p is None


def test_worth_is_between_nothing_and_a_sure_purchase() -> None:
    p = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32)
    score = worth(p)
    assert score[:2].tolist() == [0.0, 1.0]
    total = sum(HEAD_WORTH.values())
    wanted = {"purchase": score[2], "cart": score[3], "click": score[4]}
    assert wanted == {head: pytest.approx(HEAD_WORTH[head] / total, abs=1e-6) for head in HEADS}


def test_every_source_has_a_reason_that_people_understand() -> None:
    known = catalogue("a")
    known.upsert(item("titled", title="The {title} of a {shoe}"))
    for number, source in enumerate(SOURCES):
        for because in (0, 1):
            (one,) = select(
                candidates(1, [number], [because]), np.ones(1), None, k=1, catalogue=known, source_names=SOURCES
            )
            assert one.source == source
            if source in NAMING:
                assert one.reason == NAMING[source] + ("a", "The {title} of a {shoe}")[because]
            else:
                assert one.reason == REASONS[source]
