"""What is drawn is drawn with the propensities that are told, from what is allowed, and again the same."""

import itertools
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binomtest, chisquare

from streams.contracts.slates import encode
from streams.features.item import digest_of
from streams.online.learner import Learner
from streams.online.score import Scorer
from streams.ordering import best_first
from streams.recommend import Recommender
from streams.slate.explore import Exploration, alternatives, explore
from tests.unit.building import T0, event, item
from tests.unit.online.records import feedback
from tests.unit.online.records import shown as online_shown
from tests.unit.shop import Shop

SCORES = np.array([0.1, 0.4, 0.2, 0.05, 0.0])
EVIDENCE = np.array([0.0, 30.0, 8.0, 0.0, 2.0])
DIGESTS = np.array([digest_of(f"i{n}") for n in range(5)], np.uint64)
DRAWS = 20_000
HALF = Exploration(share=0.5, temperature=1.0, bonus=0.5)
CASES = (HALF, Exploration(1.0, 0.5, 0.0), Exploration(0.1, 2.0, 3.0))


def drawn(k: int, exploration: Exploration, slates: int = DRAWS) -> list[tuple[int, ...]]:
    return [tuple(explore(SCORES, EVIDENCE, DIGESTS, k, exploration, f"1-0-{n}")[0].tolist()) for n in range(slates)]


def rows(places: tuple[int, ...], exploration: Exploration) -> tuple[list[int], np.ndarray]:
    """Return the candidates in an order that begins so, and what else could be in each slot."""
    order = [*places, *(place for place in range(5) if place not in places)]
    return order, alternatives(SCORES[order], EVIDENCE[order], DIGESTS[order], exploration)


def chances(places: tuple[int, ...], exploration: Exploration) -> list[float]:
    """Return the propensities with which a slate begins so."""
    _, found = rows(places, exploration)
    return [float(found[slot, slot]) for slot in range(len(places))]


@pytest.mark.parametrize("exploration", CASES)
def test_slates_come_as_often_as_their_propensities_multiply_to(exploration: Exploration) -> None:
    orders = list(itertools.permutations(range(5), 3))
    expected = np.array([np.prod(chances(order, exploration)) for order in orders])
    assert expected.sum() == pytest.approx(1.0)
    seen = Counter(drawn(3, exploration))
    often = expected * DRAWS >= 5  # what chi-square may be asked about; the others together
    counts = np.array([seen[order] for order in orders])
    if often.all():
        found, wanted = counts, expected
    else:
        found, wanted = (
            np.append(counts[often], counts[~often].sum()),
            np.append(expected[often], expected[~often].sum()),
        )
    assert chisquare(found, wanted * DRAWS).pvalue > 0.001


@pytest.mark.parametrize("exploration", CASES)
def test_at_each_position_the_propensities_of_what_is_left_sum_to_one(exploration: Exploration) -> None:
    for order in itertools.permutations(range(5)):
        _, found = rows(order, exploration)
        assert found.sum(axis=1) == pytest.approx(1.0, abs=1e-12)
        assert (found[np.triu_indices(5)] > 0).all()
        assert not np.tril(found, -1).any()


def test_the_propensities_of_a_slate_are_those_that_are_told_for_it_later() -> None:
    for n in range(50):
        places, told = explore(SCORES, EVIDENCE, DIGESTS, 4, HALF, f"1-2-{n}")
        assert told == pytest.approx(chances(tuple(places.tolist()), HALF), abs=1e-15)
        assert sorted(set(places.tolist())) == sorted(places.tolist())


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_budget_is_the_share_of_the_slots(share: float) -> None:
    """Equal weights: an explored slot shows the best left with the chance of any other."""
    scores, evidence, exploration, k = np.full(200, 0.1), np.zeros(200), Exploration(share), 10
    digests = np.arange(200, dtype=np.uint64)
    explored = slots = 0
    expected = 0.0
    for n in range(400):
        places, _ = explore(scores, evidence, digests, k, exploration, f"0-0-{n}")
        left = list(range(200))
        for place in places.tolist():
            explored += place != left[0]
            left.remove(place)
            slots += 1
            expected += share * (1 - 1 / (len(left) + 1))
    assert binomtest(explored, slots, expected / slots).pvalue > 0.001


def test_without_a_share_the_best_come_first_and_surely() -> None:
    places, told = explore(SCORES, EVIDENCE, DIGESTS, 4, Exploration(0.0), "1-0-0")
    assert places.tolist() == best_first(SCORES, DIGESTS, 4).tolist() == [1, 2, 0, 3]
    assert told.tolist() == [1.0] * 4
    assert chances((1, 0), Exploration(0.0)) == [1.0, 0.0]


def test_the_last_candidate_left_is_sure() -> None:
    for share in np.linspace(0.01, 1, 40):
        for n in range(5):
            _, told = explore(SCORES, EVIDENCE, DIGESTS, 9, Exploration(float(share)), f"1-1-{n}")
            assert len(told) == 5
            assert told[-1] == 1.0


def test_a_slate_depends_on_its_id_and_not_on_the_order_of_the_candidates() -> None:
    order = np.array([3, 0, 4, 1, 2])
    for n in range(50):
        places, told = explore(SCORES, EVIDENCE, DIGESTS, 5, HALF, f"7-3-{n}")
        again, told_again = explore(SCORES[order], EVIDENCE[order], DIGESTS[order], 5, HALF, f"7-3-{n}")
        assert order[again].tolist() == places.tolist()
        assert told_again == pytest.approx(told, abs=1e-12)
    assert len(set(drawn(5, HALF, 50))) > 5


def test_what_was_tried_less_is_drawn_more_and_only_by_the_bonus() -> None:
    little = EVIDENCE.copy()
    little[2] = 0.0
    told, more = (alternatives(SCORES, known, DIGESTS, HALF)[0] for known in (EVIDENCE, little))
    assert more[2] > told[2]
    without = Exploration(0.5, 1.0, 0.0)
    told, same = (alternatives(SCORES, known, DIGESTS, without)[0] for known in (EVIDENCE, little))
    assert same.tolist() == told.tolist()


def test_extreme_scores_leave_every_candidate_its_chance() -> None:
    for scores in (np.zeros(5), np.array([1.0, 0, 0, 0, 0]), np.array([1e-9, 1, 1e-6, 0, 1e-12])):
        for order in itertools.permutations(range(5)):
            there = list(order)
            found = alternatives(scores[there], np.zeros(5), DIGESTS[there], Exploration(0.9, 0.05, 0.0))
            assert (found[np.triu_indices(5)] > 0).all()
            assert (found <= 1).all()
            assert found.sum(axis=1) == pytest.approx(1.0, abs=1e-12)


def test_no_candidates_no_slots() -> None:
    places, told = explore(np.zeros(0), np.zeros(0), np.zeros(0, np.uint64), 10, HALF, "1-0-0")
    assert (len(places), len(told)) == (0, 0)


def shop(exploration: Exploration) -> Shop:
    made = Shop(*(item(f"i{n}", category=["c"], in_stock=n % 4 != 0) for n in range(40)))
    made.sold(**{f"i{n}": n for n in range(1, 40)})
    made.recommender = Recommender(
        made.catalogue, made.counters, made.recommender.retriever, None, 0.1, exploration=exploration
    )
    return made


def slate(made: Shop, **fields: object) -> bytes:
    one = made.recommender.prepare(made.ask("for_you", k=8, **fields))
    return encode(made.recommender.slate(one, None, None, "none", T0))


def test_chosen_segments_get_the_slates_of_a_shop_without_exploration() -> None:
    off = frozenset({"search", "page=checkout"})
    plain, exploring = shop(Exploration()), shop(Exploration(1.0, off=off))
    checkout = {"page": "checkout", "device": "ios"}
    assert slate(exploring, context=checkout) == slate(plain, context=checkout)
    assert slate(exploring, context={"page": "home"}) != slate(plain, context={"page": "home"})
    assert Exploration(1.0, off=off).covers(event("request", request_id="r"))
    assert not Exploration(1.0, off=off).covers(event("request", request_id="r", kind="search", query="q"))
    assert not Exploration(0.0).covers(event("request", request_id="r"))


def test_what_a_learner_knows_to_be_seen_is_evidence() -> None:
    made, learner = shop(Exploration(0.5, 1.0)), Learner("ranker")
    for n in range(50):
        learner.take(feedback([online_shown(f"i{n % 3}")], n))
    scorer = Scorer(learner.snapshot())
    made.recommender = Recommender(
        made.catalogue, made.counters, made.recommender.retriever, None, 0.1,
        exploration=HALF, scorer=lambda: scorer,
    )  # fmt: skip
    one = made.recommender.prepare(made.ask("for_you", k=100))
    items = made.recommender.slate(one, None, None, None, T0).items
    order = np.array([made.catalogue.index[entry.item_id] for entry in items])
    place = {item: n for n, item in enumerate(one.candidates.items.tolist())}
    popular = np.expm1(one.candidates.log_popular[[place[item] for item in order.tolist()]])
    digests = made.catalogue.digest[order]
    assert scorer.seen(digests).sum() > 30  # i0 is not in stock
    scores = np.array([entry.score for entry in items])
    told = [entry.propensity for entry in items]
    assert np.diagonal(alternatives(scores, popular + scorer.seen(digests), digests, HALF)) == pytest.approx(told)
    assert np.diagonal(alternatives(scores, popular, digests, HALF)) != pytest.approx(told)


def test_an_explored_slate_holds_only_what_may_be_shown() -> None:
    made = shop(Exploration(1.0, 5.0))
    one = made.recommender.prepare(made.ask("for_you", k=20, filters={"exclude": ["i1", "i2"]}))
    shown = [entry.item_id for entry in made.recommender.slate(one, None, None, None, T0).items]
    assert len(set(shown)) == len(shown) == 20
    assert not {"i1", "i2", *(f"i{n}" for n in range(0, 40, 4))} & set(shown)
