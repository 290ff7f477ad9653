"""A recipe is what was asked for, typed and in range, and what isn't is one sentence that names the key."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from streams.cli import run
from streams.errors import Misuse
from training.recipe import Fit, Pretraining, Reading, Recipe, as_overrides, read_recipe


def test_overrides_are_stronger_than_the_file_and_the_file_than_defaults(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text("[fit]\nepochs = 3\nlearning_rate = 0.5\n[pretraining]\n")
    made = read_recipe(["fit.learning_rate=1e-3", "pretraining.epochs = 10"], file, seed=7)
    assert made == Recipe(seed=7, fit=Fit(epochs=3, learning_rate=1e-3), pretraining=Pretraining(epochs=10))
    assert read_recipe() == Recipe()
    assert read_recipe(["seed=3"], seed=7).seed == 3


def test_overrides_of_a_recipe_make_it_again() -> None:
    recipe = Recipe(seed=4, fit=Fit(learning_rate=1.5e-05, epochs=2), pretraining=Pretraining(weight_decay=0.0))
    recipe = replace(recipe, reading=Reading(model="models/words", ensemble=True))
    assert read_recipe(as_overrides(recipe)) == recipe
    assert as_overrides(Recipe()) == []


def test_every_number_has_a_type_and_a_range() -> None:
    """Text is refused everywhere, and so is what is not finite."""
    for key, value in _leaves(asdict(Recipe()), ""):
        if key == "reading.model":
            continue  # a path; `load_language` refuses what is none
        for wrong in ("many", "nan", "inf", "-1", "1e12", "[1]"):
            with pytest.raises(Misuse, match=f"^key=value: {key}: (expected|invalid) "):
                read_recipe([f"{key}={wrong}"])
        assert read_recipe([f"{key}={str(value).lower()}"]) == Recipe()


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("fit.learnin_rate=1", "key=value: fit.learnin_rate: no such key; did you mean fit.learning_rate?"),
        ("listwise=1", "key=value: listwise: no such key; did you mean fit.listwise?"),
        ("fit.epochs=1.5", "key=value: fit.epochs: expected `int`, got `float`"),
        ("fit.learning_rate=2", "key=value: fit.learning_rate: expected `float` <= 1.0"),
        ("fit.epochs", "fit.epochs: give key=value, as in fit.learning_rate=0.001"),
    ],
)
def test_what_is_wrong_is_one_sentence(override: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--log", "nowhere", override]) == 2
    assert capsys.readouterr().err == f"streamrank: {said}\n"


def test_a_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    with pytest.raises(Misuse, match=r"recipe\.toml: cannot read the recipe: No such file"):
        read_recipe(file=file)
    for text, said in (("fit.epoch = 3", "did you mean fit.epochs"), ("fit = 3", "no such key"), ("a", "not a TOML")):
        file.write_text(text)
        with pytest.raises(Misuse, match=rf"recipe\.toml: .*{said}"):
            read_recipe(file=file)


def _leaves(tree: dict[str, object], path: str) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in tree.items():
        found += _leaves(value, f"{path}{name}.") if isinstance(value, dict) else [(path + name, value)]
    return found
