"""Estimates equal those of obp, and over all that a log's policy could show they average to the truth."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from streams.evaluation.offpolicy import estimators
from streams.evaluation.offpolicy.estimators import ESTIMATORS, Rounds, Terms, down_to
from streams.slate.explore import Exploration, alternatives
from tests.unit.evaluation.offpolicy.cases import SWITCH_AT, bandit, slates

OBP = {
    "ips": 0.150382430994174,
    "snips": 0.2671464684426443,
    "dr": 0.3850931836965949,
    "switch": 0.4276565713174222,
    "replay": 0.18333333333333332,
    "slate ips": 1.9985334788743514,
    "slate rips": 1.2893471631252833,
    "slate iips": 0.8539593009084452,
}
"""What obp 0.4.1 says, printed by `obp_numbers.py`."""


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "switch", "replay"])
def test_estimates_of_single_positions_are_those_of_obp(name: str) -> None:
    rounds = bandit(certain=name == "replay").rounds()
    found = estimators.switch(rounds, SWITCH_AT) if name == "switch" else ESTIMATORS[name](rounds)
    assert found.value == pytest.approx(OBP[name], abs=1e-9)


@pytest.mark.parametrize("name", ["ips", "rips", "iips"])
def test_estimates_of_slates_are_those_of_obp(name: str) -> None:
    assert ESTIMATORS[name](slates().rounds()).value == pytest.approx(OBP[f"slate {name}"], abs=1e-9)


def test_with_one_position_the_slate_estimators_are_one() -> None:
    rounds = bandit().rounds()
    assert estimators.ips(rounds).value == estimators.rips(rounds).value == estimators.iips(rounds).value


ITEMS, SHOWN = 4, 3
SCORES = (np.array([0.3, 0.1, 0.2, 0.05]), np.array([0.05, 0.3, 0.1, 0.4]))
"""Of the policy that made the log, and of the one that is evaluated."""
EXPLORING = (Exploration(0.7, 1.0, 0.0), Exploration(0.4, 0.5, 0.0))
ORDERS = list(itertools.permutations(range(ITEMS)))
DIGESTS = np.arange(ITEMS, dtype=np.uint64)


def everything(reward: Callable[[tuple[int, ...], int], float]) -> tuple[Rounds, np.ndarray, float]:
    """Return every slate there is, how likely it is in the log, and the true value of the evaluated policy."""
    tables = [
        np.array([alternatives(scores[list(o)], np.zeros(ITEMS), DIGESTS[list(o)], one)[:SHOWN] for o in ORDERS])
        for scores, one in zip(SCORES, EXPLORING, strict=True)
    ]
    logged, chances = ([np.diagonal(one)[:SHOWN] for one in table] for table in tables)
    rewards = np.array([[reward(order, n) for n in range(SHOWN)] for order in ORDERS])
    worth = np.random.default_rng(3).random((ITEMS, SHOWN))
    rounds = Rounds(
        offsets=np.arange(0, SHOWN * len(ORDERS) + 1, SHOWN),
        ratios=(np.array(chances) / np.array(logged)).ravel(),
        rewards=rewards.ravel(),
        modelled=np.array([[worth[order[n], n] for n in range(SHOWN)] for order in ORDERS]).ravel(),
        expected=np.array(
            [[t[n] @ worth[list(order), n] for n in range(SHOWN)] for t, order in zip(tables[1], ORDERS, strict=True)]
        ).ravel(),
        chances=np.prod(chances, axis=1),
        draws=np.zeros(len(ORDERS)),
    )
    likely = np.prod(logged, axis=1)
    assert likely.sum() == pytest.approx(1.0)  # with one item left over, an order is a slate
    return rounds, likely, float((np.prod(chances, axis=1) * rewards.sum(axis=1)).sum())


def average(terms: Terms, likely: np.ndarray) -> float:
    return float((likely * terms.top).sum() / (likely * terms.bottom).sum())


def of_the_whole(order: tuple[int, ...], n: int) -> float:
    return (order[n] + 1) * 0.1 + 0.3 * (order[0] > order[SHOWN - 1])


def of_those_above(order: tuple[int, ...], n: int) -> float:
    return (order[n] + 1) * 0.1 / (n + 1) + 0.2 * (n > 0 and order[n - 1] < order[n])


@pytest.mark.parametrize("name", ["ips", "snips"])
def test_whole_slates_are_unbiased_whatever_rewards_depend_on(name: str) -> None:
    rounds, likely, truth = everything(of_the_whole)
    assert average(ESTIMATORS[name](rounds), likely) == pytest.approx(truth, abs=1e-12)
    assert average(ESTIMATORS["rips"](rounds), likely) != pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("name", ["rips", "dr"])
def test_estimators_from_the_top_down_are_unbiased_where_rewards_depend_on_what_is_above(name: str) -> None:
    """`dr` with a model that knows nothing."""
    rounds, likely, truth = everything(of_those_above)
    assert average(ESTIMATORS[name](rounds), likely) == pytest.approx(truth, abs=1e-12)


def test_what_rips_and_dr_save_in_variance() -> None:
    rounds, likely, truth = everything(of_those_above)
    spread = {name: (likely * (ESTIMATORS[name](rounds).top - truth) ** 2).sum() for name in ("ips", "rips")}
    assert spread["rips"] < spread["ips"]


def test_equal_weights_are_worth_all_slates_and_one_large_one_is_worth_itself() -> None:
    ones = np.ones(50)
    assert Terms(ones, ones, 3 * ones).effective_size == pytest.approx(50)
    lone = np.zeros(50)
    lone[7] = 4.0
    assert Terms(ones, ones, lone).effective_size == pytest.approx(1.0)
    assert Terms(ones, 0 * ones, 0 * ones).value == Terms(ones, ones, 0 * ones).effective_size == 0.0


def test_products_begin_anew_in_each_slate() -> None:
    assert down_to(np.array([0, 1, 4, 6]), np.array([5.0, 2, 3, 4, 0, 7])).tolist() == [5, 2, 6, 24, 0, 0]
