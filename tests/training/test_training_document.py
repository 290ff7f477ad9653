"""docs/training.md: its example runs, and what it says of options is so."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.training.conftest import shop, write_log
from tests.training.languages import tiny
from training.cross_teacher import CrossRecipe
from training.encoder import load_encoder
from training.loop import Course

TEXT = (Path(__file__).parents[2] / "docs" / "training.md").read_text("utf-8")


def test_the_example_of_large_models_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(tmp_path / "runs" / "data", shop()[:300])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("training.language.load_language", tiny)
    (example,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(example, {})  # noqa: S102 (our own document)
    assert load_encoder(tmp_path / "runs" / "encoder").encode(["item 3"]).shape == (1, 32)


@pytest.mark.parametrize("name", ["tuning", "weighting", "candidates", "augmentation", "adversary"])
def test_options_it_names_are_there(name: str) -> None:
    assert f"`{name}`" in TEXT or f"by `{name}`" in TEXT
    assert name in {one.name for one in fields(CrossRecipe)}


def test_what_it_says_is_off_is_off() -> None:
    assert CrossRecipe().augmentation is CrossRecipe().adversary is None
    assert Course().precision == "fp32"
