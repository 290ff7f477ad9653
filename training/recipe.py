"""How a ranker is trained: every number that a training is made of, typed and bounded, in one frozen tree.

Strongest first: `key=value` of the command line, a TOML file, the defaults here. A key is the path of a number in the
tree, as in `fit.learning_rate`; in the file sections are tables. The manifest keeps the whole tree.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from streams.errors import Misuse

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1)]
Weight = Annotated[float, Meta(ge=0, le=1_000)]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many lists are drawn, and how many negatives are kept of a list that is learned from (0: all)."""

    train: Count = 40_000
    validation: Count = 6_000
    negatives: Annotated[int, Meta(ge=0, le=1_000)] = 60


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is not learned from; `clean.py` says what the numbers mean."""

    repeat_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 0
    robot_moments: Annotated[float, Meta(ge=1, le=1e6)] = 300.0
    robot_deviations: Annotated[float, Meta(ge=1, le=1e6)] = 6.0
    absurd_factor: Annotated[float, Meta(ge=1, le=1e6)] = 100.0
    absurd_deviations: Annotated[float, Meta(ge=1, le=1e6)] = 6.0


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How to pre-train; `places` bounds how many places of sequences are predicted in all, which bounds the time.

    `id_dropout` is the share of items with a semantic code that go without their id in a batch, as new ones do.
    """

    epochs: Count = 30
    places: Count = 6_000_000
    batch_rows: Count = 128
    negatives: Count = 2_048
    learning_rate: Rate = 3e-3
    weight_decay: Share = 0.0
    warm_up: Share = 0.05
    id_dropout: Share = 0.15


@dataclass(frozen=True, slots=True)
class Fit:
    """How the student learns from lists. `listwise` is the weight of that loss beside the pointwise one.

    More of it: better order, probabilities further off.
    """

    epochs: Count = 8
    patience: Count = 3
    batch_lists: Count = 64
    learning_rate: Rate = 2e-3
    weight_decay: Share = 1e-2
    listwise: Weight = 0.5


@dataclass(frozen=True, slots=True)
class Distillation:
    """How much the student listens to a teacher of `teachers.py`: alpha of it, the rest to the labels; 0: to none.

    A higher temperature makes more of what the teacher thinks of candidates that it ranks low.
    """

    teacher: Literal["ensemble", "language", "sequence", "slices", "student"] = "ensemble"
    alpha: Share = 0.0
    temperature: Annotated[float, Meta(gt=0, le=100)] = 2.0


@dataclass(frozen=True, slots=True)
class Teaching:
    """How the sequence teachers learn: cross-entropy over all items, `masked_epochs` of hidden ones before.

    The time of the lists is cut into `slices`; each later one goes on from the one before for `later_epochs`. More
    slices: fresher teachers, for that many trainings more.
    """

    epochs: Count = 30
    masked_epochs: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    slices: Annotated[int, Meta(ge=1, le=1_000)] = 4
    later_epochs: Count = 6
    batch_rows: Count = 128
    learning_rate: Rate = 2e-3
    weight_decay: Share = 0.1


@dataclass(frozen=True, slots=True)
class Reading:
    """How the language teacher learns: the words of the catalogue first, then to judge `candidates` of each list.

    `model` is a folder of transformers, the packaged all-MiniLM-L6-v2 if empty. `ensemble`: an ensemble has it, too.
    `augmentation` (`augment.py`) and `adversary` (`adversarial.py`) are on or off; `weighting` is that of the heads.
    """

    model: str = ""
    ensemble: bool = False
    masked_epochs: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    tuning: Literal["full", "lora", "frozen"] = "lora"
    weighting: Literal["fixed", "uncertainty"] = "fixed"
    augmentation: bool = False
    adversary: bool = False
    candidates: Annotated[int, Meta(ge=2, le=1_000)] = 16
    epochs: Count = 1
    batch_rows: Count = 16
    learning_rate: Rate = 3e-4


@dataclass(frozen=True, slots=True)
class Recipe:
    """The tree. The seed is that of all draws."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 1
    limits: Limits = field(default_factory=Limits)
    cleaning: Cleaning = field(default_factory=Cleaning)
    pretraining: Pretraining = field(default_factory=Pretraining)
    fit: Fit = field(default_factory=Fit)
    distillation: Distillation = field(default_factory=Distillation)
    teaching: Teaching = field(default_factory=Teaching)
    reading: Reading = field(default_factory=Reading)


def read_recipe(overrides: Sequence[str] = (), file: Path | None = None, *, seed: int = 1) -> Recipe:
    """Return the recipe that a file and overrides (`key=value`) make of the defaults; `seed` unless they name one.

    Raises:
        Misuse: a key isn't known, or its value has another type or is out of range; names it.
    """
    values = dict(flat(Recipe())) | {"seed": seed}
    recipe = Recipe(seed=seed)
    for source, given in ((str(file), _of_file(file)), ("key=value", map(_parsed, overrides))):
        for key, value in given:
            if key not in values:
                raise Misuse(f"{source}: {key}: no such key; did you mean {_meant(key, values)}?")
            values[key] = value
            recipe = _converted(values, source)
    return recipe


def as_overrides(recipe: Recipe) -> list[str]:
    """Return what differs from the defaults as `key=value`."""
    defaults = dict(flat(Recipe()))
    changed = ((key, value) for key, value in flat(recipe) if value != defaults[key])
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in changed]


def with_values(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """Return the recipe with some keys changed.

    Raises:
        Misuse: as `read_recipe`.
    """
    return _converted({**dict(flat(recipe)), **values}, "recipe")


def flat(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value."""
    return _leaves(asdict(recipe))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield path + name, value


def _of_file(path: Path | None) -> Iterator[tuple[str, Any]]:
    if path is None:
        return
    try:
        yield from _leaves(tomllib.loads(path.read_text("utf-8")))
    except OSError as exc:
        raise Misuse(f"{path}: cannot read the recipe: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Misuse(f"{path}: not a TOML file: {exc}") from exc


def _parsed(override: str) -> tuple[str, Any]:
    """Return key and value; a value is written as in TOML, and what isn't TOML is text."""
    key, equals, text = (part.strip() for part in override.partition("="))
    if not equals:
        raise Misuse(f"{override}: give key=value, as in fit.learning_rate=0.001")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return key, value


def _converted(values: Mapping[str, Any], source: str) -> Recipe:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *sections, name = key.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[name] = value
    try:
        return msgspec.convert(tree, Recipe)
    except msgspec.ValidationError as exc:
        said, _, path = str(exc).partition(" - at `$.")
        raise Misuse(f"{source}: {path.rstrip('`')}: {said[:1].lower()}{said[1:]}") from exc


def _meant(key: str, known: Mapping[str, Any]) -> str:
    """Return the known key that is most like it; the last part counts, as sections are often forgotten."""
    names = {name.rpartition(".")[2]: name for name in known}
    last = difflib.get_close_matches(key.rpartition(".")[2], names, n=1)
    whole = difflib.get_close_matches(key, known, n=1)
    return whole[0] if whole else names[last[0]] if last else ", ".join(known)
