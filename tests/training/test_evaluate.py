"""Metrics equal their definitions, intervals behave, and the report compares like with like."""

import doctest

import numpy as np
import pytest

import training.calibrate
import training.losses
from streams.errors import BadModel, Misuse
from training.dataset import Dataset
from training.evaluate import evaluate
from training.policies import STUDENT, relevance, top_by
from training.run import check


@pytest.mark.parametrize("module", [training.calibrate, training.losses])
def test_examples_in_docstrings_run(module: object) -> None:
    names = {"torch": __import__("torch"), "np": np}
    result = doctest.testmod(module, extraglobs=names)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed


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
