"""The language model as a teacher by name: it reads the catalogue, goes on where it was cut off, joins an ensemble."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streams.contracts.items import Item
from streams.errors import BadModel, Misuse
from streams.evaluation.log import Log
from tests.training.conftest import RECIPE
from tests.training.languages import saved, tiny
from tests.training.test_train_command import QUICK, SPLIT_MS, signals
from tests.training.test_train_command import run as streamrank
from training.dataset import Dataset
from training.language import weights
from training.lists import part
from training.recipe import Reading
from training.teacher import Ensemble
from training.teachers import READING_FOLDER, TEACHERS, School


@pytest.fixture
def small(dataset: Dataset, tmp_path: Path) -> Dataset:
    """A few lists, where only the way counts and not how good it gets."""
    folder = tmp_path / "small"
    folder.mkdir()
    for split, size in (("train", 24), ("validation", 8)):
        part(dataset.whole(split), np.arange(size)).save(folder / f"{split}-0000.parquet")
    return replace(dataset, folder=folder)


def reading(tmp_path: Path, **changes: object) -> Reading:
    model = tmp_path / "model"
    plain = Reading(str(model if model.exists() else saved(model)), candidates=3, batch_rows=8)
    return replace(plain, **changes)  # type: ignore[arg-type]


def school(dataset: Dataset, log: Path, how: Reading, progress: Callable[[str], None] = lambda line: None) -> School:
    return School(dataset, lambda: signals(log), Log(log).items, replace(RECIPE, reading=how), progress)


def test_it_judges_by_words(small: Dataset, log: Path, tmp_path: Path) -> None:
    lists = small.whole("validation")
    teacher = TEACHERS["language"](school(small, log, reading(tmp_path)))
    said = teacher.logits(lists)
    assert said.shape == (len(lists.item_ids), 3)
    assert np.isfinite(said).all()
    others = replace(lists, item_ids=np.roll(lists.item_ids, 1))  # other words, the same features
    assert not np.array_equal(said, teacher.logits(others))


def test_masked_words_before_change_what_it_thinks(small: Dataset, log: Path, tmp_path: Path) -> None:
    lists = small.whole("validation")
    with_words = TEACHERS["language"](school(small, log, reading(tmp_path, masked_epochs=1))).logits(lists)
    shutil.rmtree(small.folder / READING_FOLDER)
    without = TEACHERS["language"](school(small, log, reading(tmp_path, masked_epochs=0))).logits(lists)
    assert not np.array_equal(with_words, without)


@pytest.mark.parametrize("option", [{"augmentation": True}, {"adversary": True}, {"weighting": "uncertainty"}])
def test_each_way_of_reading_changes_what_it_thinks(
    small: Dataset, log: Path, tmp_path: Path, option: dict[str, object]
) -> None:
    """A purchase is a label of all heads, so there are several to weigh."""
    lists, plain = small.whole("validation"), reading(tmp_path, masked_epochs=0, epochs=2)
    without = TEACHERS["language"](school(small, log, plain)).logits(lists)
    shutil.rmtree(small.folder / READING_FOLDER)
    with_it = TEACHERS["language"](school(small, log, replace(plain, **option))).logits(lists)  # type: ignore[arg-type]
    assert not np.array_equal(with_it, without)


def cut_off(dataset: Dataset, log: Path, how: Reading, epochs: int) -> None:
    """Learn so many epochs of words and pairs, and no more."""
    told = list[str]()

    def stop(line: str) -> None:
        told.append(line)
        if len(told) == epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TEACHERS["language"](school(dataset, log, how, stop))


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_what_was_cut_off_goes_on_and_ends_the_same(epochs: int, small: Dataset, log: Path, tmp_path: Path) -> None:
    """Two epochs of words, two of pairs."""
    how = reading(tmp_path, epochs=2, masked_epochs=2)
    lists = small.whole("validation")
    cut_off(small, log, how, epochs)
    again = list[str]()
    resumed = TEACHERS["language"](school(small, log, how, again.append)).logits(lists)
    assert len(again) == 4 - epochs
    shutil.rmtree(small.folder / READING_FOLDER)
    whole = TEACHERS["language"](school(small, log, how)).logits(lists)
    assert np.array_equal(resumed, whole)


def test_a_checkpoint_of_another_model_is_refused(small: Dataset, log: Path, tmp_path: Path) -> None:
    how = reading(tmp_path, masked_epochs=2)
    cut_off(small, log, how, 1)
    other = replace(how, model=str(saved(tmp_path / "other", seed=1)))
    with pytest.raises(BadModel, match="weights"):
        TEACHERS["language"](school(small, log, other))


def test_pairs_learned_after_other_words_are_refused(small: Dataset, log: Path, tmp_path: Path) -> None:
    how = reading(tmp_path, epochs=2)
    cut_off(small, log, how, 2)
    with pytest.raises(BadModel, match="weights"):
        TEACHERS["language"](school(small, log, replace(how, masked_epochs=0)))


def test_an_ensemble_has_it_if_the_recipe_says_so(dataset: Dataset, log: Path, tmp_path: Path) -> None:
    how = reading(tmp_path, ensemble=True, candidates=2, masked_epochs=0)
    made = TEACHERS["ensemble"](school(dataset, log, how))
    assert isinstance(made, Ensemble)
    assert [one.name for one in made.members] == ["language", "student", "sequence"]
    lists = dataset.whole("validation")
    assert made.logits(lists).shape == (len(lists.item_ids), 3)


@pytest.mark.parametrize("masked_epochs", [0, 1])
def test_a_catalogue_without_words_teaches_nothing(
    masked_epochs: int, small: Dataset, log: Path, tmp_path: Path
) -> None:
    silent = [Item(item_id=f"i{n}") for n in range(3)]
    wordless = replace(school(small, log, reading(tmp_path, masked_epochs=masked_epochs)), items=lambda: silent)
    with pytest.raises(Misuse, match="no item of the catalogue has a text"):
        TEACHERS["language"](wordless)


def test_the_command_takes_it(log: Path, tmp_path: Path) -> None:
    out, how = tmp_path / "ranker", reading(tmp_path)
    words = ["distill", "--teacher", "language", "--log", log, "--out", out, "--work", tmp_path / "work", *QUICK]
    words += [f"reading.model={how.model}", "reading.candidates=2", "reading.masked_epochs=0"]
    words += ["limits.train=40", "limits.validation=12"]
    assert streamrank([str(word) for word in [*words, "--split", SPLIT_MS]]) in (0, 1)
    manifest = json.loads((out / "1" / "manifest.json").read_text())
    assert manifest["data"]["teacher"]["name"] == "language"
    assert manifest["recipe"]["reading"]["candidates"] == 2
    assert not list((tmp_path / "work").rglob(READING_FOLDER))


def test_weights_have_a_hash_in_any_precision() -> None:
    model = tiny().model
    plain, halved = weights(model), weights(model.bfloat16())
    assert plain != halved
    assert halved == weights(tiny().model.bfloat16())
    assert halved != weights(tiny(seed=1).model.bfloat16())
