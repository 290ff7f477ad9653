"""Metrics equal their definitions, intervals behave, and the report compares like with like."""

import doctest

import numpy as np
import pytest

import training.calibrate
import training.losses
import training.metrics
from streams.errors import BadModel, Misuse
from training.dataset import Dataset
from training.evaluate import evaluate
from training.lists import TOP
from training.metrics import bootstrap, by_user, metrics
from training.policies import STUDENT, relevance, top_by
from training.run import check


@pytest.mark.parametrize("module", [training.calibrate, training.losses, training.metrics])
def test_examples_in_docstrings_run(module: object) -> None:
    names = {"torch": __import__("torch"), "np": np}
    result = doctest.testmod(module, extraglobs=names)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed


def test_a_perfect_list_has_ndcg_one_even_for_a_small_basket() -> None:
    relevant = np.zeros((2, TOP), bool)
    relevant[0, :3] = True
    relevant[1] = True
    found = metrics(relevant, np.array([3, 25]))
    assert found["ndcg@10"] == pytest.approx([1, 1])
    assert found["recall@10"] == pytest.approx([1, 10 / 25])


def test_each_user_counts_once() -> None:
    assert by_user(np.array([1.0, 0.0, 0.5]), np.array([7, 7, 9], np.int32)).tolist() == [0.5, 0.5]


def test_the_interval_holds_the_mean_and_is_reproducible() -> None:
    values = np.random.default_rng(0).normal(0.1, 1.0, 400)
    one = bootstrap(values, seed=3)
    assert one.low < one.mean < one.high
    assert one.high - one.low == pytest.approx(2 * 1.96 / 400**0.5, rel=0.15)
    assert bootstrap(values, seed=3) == one


def test_an_oracle_reaches_the_ceiling_and_beats_every_source(dataset: Dataset) -> None:
    lists = dataset.whole("test")
    oracle = np.repeat((lists.depth == 3)[:, None], 3, axis=1).astype(np.float32)
    for report in evaluate(dataset, lists, oracle, seed=1):
        assert report.values[STUDENT]["recall@10"].mean == pytest.approx(report.ceiling.mean)
        assert report.beats_best_source()
        assert all(lead["recall@10"].mean >= 0 for lead in report.leads.values())
    check(evaluate(dataset, lists, oracle, seed=1))


def test_a_ranker_that_is_no_better_is_refused(dataset: Dataset) -> None:
    lists = dataset.whole("test")
    worst = np.repeat((lists.depth == 0)[:, None], 3, axis=1).astype(np.float32)
    with pytest.raises(BadModel, match="doesn't beat the source"):
        check(evaluate(dataset, lists, worst, seed=1))


def test_targets_are_counted_once_and_only_those_that_count(dataset: Dataset) -> None:
    lists = dataset.whole("test")
    top = top_by(lists, np.zeros((len(lists.items), 3), np.float32))
    relevant, targets = relevance(lists, top)
    assert targets.tolist() == np.diff(lists.target_offsets).tolist()
    counted = np.zeros(int(lists.targets.max()) + 1, bool)
    counted[lists.targets[0]] = True
    some, few = relevance(lists, top, counted)
    assert few[0] == 1
    assert (some <= relevant).all()


def test_a_test_without_purchases_is_refused(dataset: Dataset) -> None:
    lists = dataset.whole("test").chosen(np.array([], np.int64))
    with pytest.raises(Misuse, match="nothing was bought"):
        evaluate(dataset, lists, np.empty((0, 3), np.float32), seed=1)
