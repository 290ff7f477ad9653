"""Ranking metrics agree with scikit-learn where it has them, and with their formulas spelled out where it hasn't."""

import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    ndcg_score,
    precision_recall_fscore_support,
)

from streams.evaluation.base import Case
from streams.evaluation.metrics import METRICS, from_relevance, measure, relevance

K = 10
CATALOGUE = [f"i{n}" for n in range(40)]
Rankings = list[list[str]]

items = st.sampled_from("abcdefgh")
cuts = st.integers(1, 8)
rankings_of_one = st.lists(items, max_size=8, unique=True)
targets_of_one = st.lists(items, min_size=1, max_size=8, unique=True)


def cases_of(targets: Sequence[Sequence[str]]) -> list[Case]:
    return [Case(f"u{n}", 0, (), some) for n, some in enumerate(targets)]


def of_one(ranking: Sequence[str], targets: Sequence[str], k: int) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measure([ranking], cases_of([targets]), k).items()}


def drawn(seed: int, cases: int = 300) -> tuple[Rankings, Rankings]:
    """Return rankings of 0 to 25 items, and 1 to 15 targets each: shorter than k, longer, and more targets than k."""
    rng = np.random.default_rng(seed)
    sizes = zip(rng.integers(0, 26, cases), rng.integers(1, 16, cases), strict=True)
    pairs = [(rng.permutation(CATALOGUE)[:n].tolist(), rng.permutation(CATALOGUE)[:m].tolist()) for n, m in sizes]
    rankings, targets = map(list, zip(*pairs, strict=True))
    return rankings, targets


def as_labels(rankings: Rankings, targets: Rankings) -> tuple[np.ndarray, np.ndarray]:
    """Return what scikit-learn takes: the truth and a score of each item of the catalogue, (N, I + K).

    K items that nobody wants come after the ranked ones, as scikit-learn knows no rankings that end early.
    """
    truth, scores = np.zeros((2, len(rankings), len(CATALOGUE) + K))
    scores[:, len(CATALOGUE) :] = 1.0 / np.arange(2, K + 2)
    for n, (ranking, wanted) in enumerate(zip(rankings, targets, strict=True)):
        truth[n, [CATALOGUE.index(item) for item in wanted]] = 1.0
        for place, item in enumerate(ranking):
            scores[n, CATALOGUE.index(item)] = 100.0 - place
    return truth, scores


@pytest.mark.parametrize("k", [1, 3, K])
def test_ndcg_is_scikit_learns(k: int) -> None:
    rankings, targets = drawn(1)
    truth, scores = as_labels(rankings, targets)
    theirs = [ndcg_score(truth[n : n + 1], scores[n : n + 1], k=k) for n in range(len(truth))]
    assert measure(rankings, cases_of(targets), k)["ndcg"] == pytest.approx(theirs)


@pytest.mark.parametrize("k", [1, 3, K])
def test_precision_recall_and_f1_are_scikit_learns_of_the_first_k(k: int) -> None:
    rankings, targets = drawn(2)
    truth, scores = as_labels(rankings, targets)
    ours = measure(rankings, cases_of(targets), k)
    for n, order in enumerate(np.argsort(-scores, kind="stable")):
        chosen = np.zeros(truth.shape[1])
        chosen[order[:k]] = 1.0
        theirs = precision_recall_fscore_support(truth[n], chosen, average="binary", zero_division=0.0)[:3]
        assert [ours[name][n] for name in ("precision", "recall", "f1")] == pytest.approx(theirs)


def test_map_of_a_whole_catalogue_is_scikit_learns_average_precision() -> None:
    rng = np.random.default_rng(3)
    _, targets = drawn(3)
    rankings = [rng.permutation(CATALOGUE).tolist() for _ in targets]
    truth, scores = as_labels(rankings, targets)
    theirs = [average_precision_score(*row) for row in zip(truth, scores, strict=True)]
    assert measure(rankings, cases_of(targets), len(CATALOGUE))["map"] == pytest.approx(theirs)


def test_mrr_of_one_target_is_scikit_learns_average_precision_of_label_rankings() -> None:
    rng = np.random.default_rng(4)
    rankings = [rng.permutation(CATALOGUE).tolist() for _ in range(100)]
    targets = [[str(rng.choice(CATALOGUE))] for _ in rankings]
    ours = measure(rankings, cases_of(targets), len(CATALOGUE))["mrr"]
    assert ours.mean() == pytest.approx(label_ranking_average_precision_score(*as_labels(rankings, targets)))


@pytest.mark.parametrize("k", [1, 3, K, 30])
def test_every_metric_is_its_formula(k: int) -> None:
    rankings, targets = drawn(5)
    ours = measure(rankings, cases_of(targets), k)
    for n, (ranking, wanted) in enumerate(zip(rankings, targets, strict=True)):
        ranks = [rank for rank, item in enumerate(ranking, 1) if item in wanted and rank <= k]
        precision, recall = len(ranks) / k, len(ranks) / len(wanted)
        most = min(k, len(wanted))
        gains = [sum(1 / math.log2(rank + 1) for rank in some) for some in (ranks, range(1, most + 1))]
        by_hand = {
            "hit_rate": 1.0 if ranks else 0.0,
            "recall": recall,
            "precision": precision,
            "f1": 2 / (1 / precision + 1 / recall) if ranks else 0.0,
            "ndcg": gains[0] / gains[1],
            "mrr": 1 / min(ranks, default=math.inf),
            "map": sum(hits / rank for hits, rank in enumerate(ranks, 1)) / most,
        }
        assert {name: ours[name][n] for name in METRICS} == pytest.approx(by_hand)


def test_an_item_that_is_ranked_again_counts_where_it_comes_first() -> None:
    assert of_one(["x", "a", "a", "b"], ["a", "b"], 4) == of_one(["x", "a", "y", "b"], ["a", "b"], 4)


def test_a_target_that_is_listed_twice_is_one() -> None:
    assert of_one(["x", "a"], ["a", "b", "a"], 2) == of_one(["x", "a"], ["a", "b"], 2)


def test_relevance_is_told_by_rank_and_short_rankings_miss() -> None:
    found = relevance([["a", "x", "b", "c"], ["x"], []], [["b", "a"], ["a"], ["a"]], 3)
    assert found.tolist() == [[True, False, True], [False] * 3, [False] * 3]


def test_no_cases_have_no_values() -> None:
    assert {name: value.shape for name, value in measure([], [], K).items()} == dict.fromkeys(METRICS, (0,))


@given(rankings_of_one, targets_of_one, cuts)
def test_every_metric_lies_between_nothing_and_one(ranking: list[str], targets: list[str], k: int) -> None:
    found = of_one(ranking, targets, k)
    assert tuple(found) == METRICS
    assert all(0.0 <= value <= 1.0 for value in found.values())
    missed = not set(ranking[:k]) & set(targets)
    assert all((value == 0.0) == missed for value in found.values())


@given(targets_of_one, cuts)
def test_all_targets_on_top_are_as_good_as_it_gets(targets: list[str], k: int) -> None:
    best = of_one([*targets, *"xyz"], targets, k)
    assert all(best[name] == 1.0 for name in ("hit_rate", "ndcg", "mrr", "map"))
    assert best["recall"] == pytest.approx(min(k, len(targets)) / len(targets))
    assert best["precision"] == pytest.approx(min(k, len(targets)) / k)


@given(rankings_of_one, targets_of_one, cuts)
def test_a_hit_that_moves_up_a_rank_makes_nothing_worse(ranking: list[str], targets: list[str], k: int) -> None:
    before = of_one(ranking, targets, k)
    for rank in range(1, len(ranking)):
        if ranking[rank] in targets and ranking[rank - 1] not in targets:
            swapped = [*ranking[: rank - 1], ranking[rank], ranking[rank - 1], *ranking[rank + 1 :]]
            after = of_one(swapped, targets, k)
            assert all(after[name] >= before[name] for name in METRICS)
            if rank < k:
                assert after["ndcg"] > before["ndcg"]
                assert after["map"] > before["map"]


@given(st.lists(st.tuples(rankings_of_one, targets_of_one), min_size=1, max_size=6), st.randoms(), cuts)
def test_a_cases_value_depends_on_itself_alone(
    pairs: list[tuple[list[str], list[str]]], random: Random, k: int
) -> None:
    order = list(range(len(pairs)))
    random.shuffle(order)
    together = measure([pairs[n][0] for n in order], cases_of([pairs[n][1] for n in order]), k)
    for place, n in enumerate(order):
        assert {name: value[place] for name, value in together.items()} == of_one(*pairs[n], k)


def test_relevance_and_its_counts_are_enough() -> None:
    rankings, targets = drawn(6)
    counts = np.array([len(some) for some in targets])
    ours, again = measure(rankings, cases_of(targets), K), from_relevance(relevance(rankings, targets, K), counts)
    assert all((ours[name] == again[name]).all() for name in METRICS)
