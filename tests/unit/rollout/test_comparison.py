"""The canary's test keeps its promises in simulation: false answers within alpha, however often it is looked at."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from streams.rollout.comparison import BUCKETS, CANARY, CHAMPION, LEAST_USERS, METRICS, Rules, Tally, Verdict

RULES = Rules(alpha=0.05, click_margin=0.1, purchase_margin=0.2, least_slates=1_000, most_slates=10**9)
RUNS, LOOKS, BLOCK, USERS = 100, 25, 2_000, 1_000
CLICKS, PURCHASES = 0.2, 0.05
MOST_FALSE = RUNS * RULES.alpha + 3 * np.sqrt(RUNS * RULES.alpha * (1 - RULES.alpha))
"""How many of RUNS may come out wrong: alpha of them, and three standard errors."""


def simulated(lift: float, seed: int, rules: Rules = RULES) -> Counter[str]:
    """Compare arms whose rates differ by `lift`, looking LOOKS times; users differ in activity and in taste."""
    rng, answers = np.random.default_rng(seed), Counter[str]()
    bucket = np.arange(USERS) % BUCKETS
    for _ in range(RUNS):
        activity = rng.exponential(size=(2, USERS))
        activity /= activity.sum(axis=1, keepdims=True)
        likes = rng.beta(2, 6, size=(2, USERS)) / 0.25 * np.array([[1.0], [1.0 + lift]])
        tally = Tally()
        for _ in range(LOOKS):
            shown = rng.multinomial(BLOCK, activity)
            clicked = rng.binomial(shown, np.minimum(1.0, CLICKS * likes))
            bought = rng.binomial(shown, np.minimum(1.0, PURCHASES * likes))
            for arm in (CHAMPION, CANARY):
                tally.counts[arm, bucket] += np.stack((shown[arm], clicked[arm], bought[arm]), axis=1)
            if (verdict := tally.verdict(rules)).answer != "running":
                break
        answers[verdict.answer] += 1
    return answers


def test_a_canary_that_is_worse_by_the_margin_is_seldom_promoted() -> None:
    assert simulated(-RULES.click_margin, 1)["promote"] <= MOST_FALSE


def test_an_equal_canary_is_seldom_rolled_back() -> None:
    assert simulated(0.0, 2)["roll back"] <= MOST_FALSE


def test_with_hardly_a_margin_an_equal_canary_is_seldom_promoted() -> None:
    assert simulated(0.0, 3, replace(RULES, click_margin=0.01, purchase_margin=0.01))["promote"] <= MOST_FALSE


def test_a_much_worse_canary_is_rolled_back_and_a_better_one_promoted() -> None:
    assert simulated(-0.4, 4)["roll back"] >= 0.9 * RUNS
    assert simulated(0.2, 5)["promote"] >= 0.8 * RUNS


def verdict(champion: tuple[int, int], canary: tuple[int, int], rules: Rules = RULES, slates: int = 60_000) -> Verdict:
    """Judge arms with so many clicks and purchases in a thousand slates."""
    tally = Tally()
    for arm, hits in ((CHAMPION, champion), (CANARY, canary)):
        for user in range(slates // 1_000):
            for n in range(1_000):
                tally.counts[arm, (user * 17 + n) % BUCKETS] += (1, n < hits[0], n < hits[1])
    return tally.verdict(rules)


def test_nothing_is_said_before_there_are_enough_slates() -> None:
    found = verdict((200, 50), (0, 0), replace(RULES, least_slates=3_000), slates=2_000)
    assert (found.answer, found.why) == ("running", "2000 of at least 3000 slates")
    assert found.metrics() == {"canary slates": 2_000.0, "champion slates": 2_000.0}


def test_the_evidence_is_told() -> None:
    found = verdict((200, 50), (100, 50))
    assert found.answer == "roll back"
    assert found.why.startswith("clicks are lower by 50.0% (at least 4")
    assert set(found.intervals) == set(METRICS)
    assert found.metrics()["clicks rate of champion"] == pytest.approx(0.2)
    low, high = found.metrics()["clicks lift low"], found.metrics()["clicks lift high"]
    assert low < -0.5 < high < 0


def test_worse_in_purchases_alone_is_worse() -> None:
    found = verdict((200, 50), (220, 20))
    assert (found.answer, found.why[:19]) == ("roll back", "purchases are lower")


def test_undecided_for_too_long_is_rolled_back() -> None:
    rules = replace(RULES, click_margin=0.001, most_slates=60_000)
    assert verdict((200, 50), (200, 50), rules).answer == "roll back"
    assert verdict((200, 50), (200, 50), replace(rules, most_slates=60_001)).answer == "running"


def test_a_canary_without_any_purchase_to_compare_is_not_promoted() -> None:
    assert verdict((200, 0), (260, 0)).answer == "running"


def test_a_handful_of_users_decides_nothing() -> None:
    for users, answer in ((1, "running"), (LEAST_USERS - 1, "running"), (LEAST_USERS, "roll back")):
        tally = Tally()
        tally.counts[CHAMPION, :1_000] = [(10, n % 4, n % 2) for n in range(1_000)]
        tally.counts[CANARY, :users] = (3_000 // users, 0, 0)
        assert tally.verdict(RULES).answer == answer
        assert tally.verdict(replace(RULES, most_slates=2_000)).answer == "roll back"


def test_no_purchase_yet_is_not_surely_fewer() -> None:
    tally = Tally()
    for n in range(1_000):  # of two that are expected of the canary
        tally.counts[CHAMPION, n] = (19, n % 5, n < 38)
        tally.counts[CANARY, n] = (1, n % 10 == 0, 0)
    assert tally.verdict(RULES).answer == "running"


def test_each_record_counts_in_its_users_bucket() -> None:
    tally = Tally()
    for _ in range(3):
        tally.add("anna", CANARY, clicked=True, bought=False)
    tally.add("ben", CHAMPION, clicked=True, bought=True)
    assert tally.counts.sum(axis=1).tolist() == [[1, 1, 1], [3, 3, 0]]
    assert sorted(tally.counts[CANARY, :, 0].tolist())[-1] == 3
