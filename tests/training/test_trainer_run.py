"""A run that was cut off goes on if it still means the same; else a new one begins in an empty folder."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from streams.rollout.lineup import first, published
from streams.settings import Settings
from tests.training.conftest import RECIPE
from tests.unit.building import DAY, T0
from tests.unit.lake.memory import lake
from training.recipe import Recipe
from training.trainer import Run


def run_in(folder: Path, recipe: Recipe = RECIPE, **settings: Any) -> Run:
    return Run(folder / "run", lake(folder / "lake"), Settings(**settings), recipe, lambda what, count: None)


def test_it_goes_on_with_its_plan(tmp_path: Path) -> None:
    plan = run_in(tmp_path).begin("schedule", first("ranker", 3), T0)
    (tmp_path / "run" / "half").write_text("made")
    assert run_in(tmp_path).unfinished(T0 + DAY - 1) == plan
    assert run_in(tmp_path).begin("another reason", first("ranker", 3), T0 + DAY - 1) == plan
    assert (tmp_path / "run" / "half").exists()


@pytest.mark.parametrize(
    ("champion", "later_ms", "recipe", "settings"),
    [
        (4, 0, RECIPE, {}),
        (3, DAY, RECIPE, {}),
        (3, 0, replace(RECIPE, seed=6), {}),
        (3, 0, RECIPE, {"trainer_window_days": 7}),
        (3, 0, RECIPE, {"trainer_replay": 0.0}),
    ],
)
def test_a_new_one_begins_where_it_would_mean_something_else(
    tmp_path: Path, champion: int, later_ms: int, recipe: Recipe, settings: dict[str, Any]
) -> None:
    run_in(tmp_path).begin("schedule", first("ranker", 3), T0)
    (tmp_path / "run" / "half").write_text("made")
    plan = run_in(tmp_path, recipe, **settings).begin("drift", first("ranker", champion), T0 + later_ms)
    assert (plan.because, plan.champion) == ("drift", champion)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_it_goes_on_after_its_own_version_became_the_champion(tmp_path: Path) -> None:
    plan = run_in(tmp_path).begin("schedule", first("ranker", 3), T0)
    made = tmp_path / "run" / "ranker" / "1" / "manifest.json"
    made.parent.mkdir(parents=True)
    made.write_text("{}")
    own, foreign = (hashlib.sha256(text).hexdigest() for text in (b"{}", b"[]"))
    entered = published(first("ranker", 3), 4, own)
    promoted = structs.replace(entered, champion=4)
    assert run_in(tmp_path).begin("another reason", promoted, T0) == plan
    assert made.exists()
    other = structs.replace(published(first("ranker", 3), 4, foreign), champion=4)
    assert run_in(tmp_path).begin("another reason", other, T0).champion == 4
    assert not made.exists()


def test_a_plan_that_is_no_plan_begins_anew(tmp_path: Path) -> None:
    run_in(tmp_path).begin("schedule", first("ranker", 3), T0)
    (tmp_path / "run" / "run.json").write_text("{")
    assert run_in(tmp_path).unfinished(T0) is None
    assert run_in(tmp_path).begin("drift", first("ranker", 3), T0).because == "drift"


def test_at_the_end_nothing_is_left(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.begin("schedule", first("ranker", 3), T0)
    run.end()
    assert not (tmp_path / "run").exists()
    assert run.unfinished(T0) is None
