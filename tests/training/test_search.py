"""A search finds nothing worse than where it began, goes on where it was cut off, and is told as key=value."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import training.search
from streams.cli import run
from streams.errors import MissingServer
from tests.training.conftest import LIMITS, RECIPE, lists_of
from tests.training.test_train_command import QUICK, SPLIT_MS
from training.board import scalars_to
from training.dataset import Dataset
from training.fit import fit_early
from training.recipe import read_recipe
from training.search import SPACE, search

FEW = replace(RECIPE, fit=replace(RECIPE.fit, epochs=2))
TRIALS = 4


@pytest.fixture
def lists(log: Path, tmp_path: Path) -> Dataset:
    return lists_of(log, tmp_path, LIMITS)


class CutOff(Exception):
    """The power failed."""


def test_it_is_no_worse_and_a_search_that_was_cut_off_goes_on(log: Path, lists: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    best, ndcg = search(lists, FEW, TRIALS, told.append)
    assert len(told) == TRIALS
    _, _, history = fit_early(lists, FEW)
    assert ndcg >= max(history)
    assert max(fit_early(lists, best)[2]) == ndcg
    for key, (low, high) in SPACE.items():
        assert low <= getattr(best.fit, key.removeprefix("fit.")) <= high

    other = lists_of(log, tmp_path / "other")
    again: list[str] = []

    def tell(line: str) -> None:
        again.append(line)
        if len(again) == 2:
            raise CutOff

    with pytest.raises(CutOff):
        search(other, FEW, TRIALS, tell)
    assert search(other, FEW, TRIALS, again.append) == (best, ndcg)
    assert again == told
    assert search(other, FEW, TRIALS, again.append) == (best, ndcg)
    assert again == told, "nothing is left to do"


def test_a_trial_below_the_median_is_given_up(lists: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.search, "_STARTUP", 1)
    monkeypatch.setattr(training.search, "_PATIENCE", 0)
    told: list[str] = []
    search(lists, FEW, 6, told.append)
    assert any("given up" in line for line in told)


def test_the_command_prints_overrides(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--log", log, "--work", tmp_path, "--split", SPLIT_MS, "--search", 2, *QUICK]
    assert run([str(word) for word in command]) == 0
    found = capsys.readouterr().out.split()
    assert read_recipe(found).fit.epochs == 4
    assert not (tmp_path / "ranker").exists()


def test_scalars_are_what_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with scalars_to(tmp_path) as scalars:
        scalars("lists/loss", 0.5, 1)
        scalars("lists/loss", 0.25, 2)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("lists/loss")] == [(1, 0.5), (2, 0.25)]


def test_what_is_not_installed_is_one_sentence(lists: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("tensorboard", "optuna")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingServer, match="--tensorboard needs the package tensorboard"), scalars_to(tmp_path):
        pass
    with pytest.raises(MissingServer, match="--search needs the package optuna"):
        search(lists, FEW, 1)
