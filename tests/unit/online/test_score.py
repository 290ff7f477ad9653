import numpy as np
import pytest
from numpy.typing import NDArray

from inference.tensors import FEATURES, HEADS
from streams.features.item import digest_of
from streams.online import blend, terms
from streams.online.click import ClickModel
from streams.online.learner import Learner
from streams.online.rates import Rates
from streams.online.score import Scorer, Where, buckets
from streams.retrieval.blend import Retriever
from tests.unit.building import T0
from tests.unit.online.records import SOURCES, feedback, shown, stream

K = 120
ITEMS = [f"i{n}" for n in range(K)]
"""Some were never shown."""


@pytest.fixture(scope="module")
def learner() -> Learner:
    made = Learner("ranker")
    for record in stream(1_500, items=80):
        made.take(record)
    return made


def where(device: str | None = "ios") -> Where:
    sources = buckets(SOURCES)
    return Where(
        items=np.array([digest_of(item) for item in ITEMS], np.uint64),
        categories=np.array([digest_of(f"c{n % 7}") if n % 3 else 0 for n in range(K)], np.uint64),
        sources=sources[np.arange(K) % len(SOURCES)],
        moment=terms.moment(T0 + 12_345_678, device),
    )


def p_of(seed: int = 2) -> NDArray[np.float32]:
    p = np.random.default_rng(seed).random((K, len(HEADS))).astype(np.float32) * 0.5
    p[0], p[1] = 0.0, 1.0
    return p


def rows(learner: Learner, at: Where, read: list[terms.Row]) -> list[terms.Row]:
    """The rows that River reads of the same candidates, each at the reference position."""
    numbers = learner.saved().numbers
    items, categories = Rates(100_000, numbers.items), Rates(100_000, numbers.categories)
    return [
        at.moment
        | read[k]
        | terms.place(SOURCES[k % len(SOURCES)], terms.REFERENCE)
        | {terms.ITEM: items.residual(int(at.items[k])), terms.CATEGORY: categories.residual(int(at.categories[k]))}
        for k in range(K)
    ]


@pytest.mark.parametrize("device", ["ios", "never seen", None])
def test_scores_are_those_of_river(learner: Learner, device: str | None) -> None:
    scorer, at, p = Scorer(learner.snapshot()), where(device), p_of()
    numbers = learner.saved().numbers
    alone, calibrated = ClickModel(numbers.alone), ClickModel(numbers.calibrated)
    features = np.random.default_rng(4).normal(1, 3, (K, len(FEATURES))).astype(np.float32)
    read = rows(learner, at, [terms.stand_ins(one) for one in features.tolist()])
    river = np.array([alone.predict_proba_one(row)[True] for row in read])
    assert np.abs(scorer.alone(features, at) - river).max() < 1e-9
    read = rows(learner, at, [terms.heads(one) for one in p.astype(np.float64).tolist()])
    online = np.array([calibrated.predict_proba_one(row)[True] for row in read])
    said = np.array([terms.logit(one) for one in p[:, 0].astype(np.float64).tolist()])
    both = blend.mixed(np.array(numbers.shares), said, np.log(online) - np.log1p(-online))
    assert np.abs(scorer.blended(p, at)[:, 0] - both).max() < 1e-9


def test_heads_move_together_and_stay_probabilities(learner: Learner) -> None:
    p, blended = p_of().astype(np.float64), Scorer(learner.snapshot()).blended(p_of(), where())
    assert ((blended >= 0) & (blended <= 1)).all()
    inner = slice(2, None)  # the first two were 0 and 1
    moved = np.log(blended[inner] / (1 - blended[inner])) - np.log(p[inner] / (1 - p[inner]))
    assert np.abs(moved - moved[:, :1]).max() < 1e-6


def test_a_snapshot_gives_the_same_scores_in_any_order_of_candidates(learner: Learner) -> None:
    scorer, at, p = Scorer(learner.snapshot()), where(), p_of()
    turned = Where(at.items[::-1].copy(), at.categories[::-1].copy(), at.sources[::-1].copy(), at.moment)
    assert np.array_equal(scorer.blended(p[::-1].copy(), turned), scorer.blended(p, at)[::-1])


def test_an_untrained_snapshot_leaves_what_the_ranker_says() -> None:
    p = np.clip(p_of(), 1e-5, 1 - 1e-5)
    blended = Scorer(Learner("ranker").snapshot()).blended(p, where())
    assert np.abs(blended - p).max() < 1e-9


def test_it_knows_how_often_items_were_seen_and_nothing_of_others() -> None:
    learner = Learner("ranker")
    for number in range(30):
        learner.take(feedback([shown("i0"), shown("i1", 1, seen=number % 3 == 0), shown("i2", 2, seen=False)], number))
    digests = np.array([digest_of(name) for name in ("i1", "other", "i2", "i0")], np.uint64)
    assert Scorer(learner.snapshot()).seen(digests) == pytest.approx([10, 0, 0, 30], rel=1e-3)


def test_the_names_of_sources_have_buckets_of_their_own() -> None:
    names = Retriever(10).source_names
    assert len(set(buckets(names).tolist())) == len(names)
