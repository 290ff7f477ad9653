"""The teachers that a student can be distilled from, by name: each made from what the student learns from.

None knows the answer of a list by its sequences: it learned only those of before. Adding one: a function, a line in
TEACHERS, and its name in `recipe.py` and `streams/commands/distilling.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from streams.contracts.items import Item
from streams.errors import Misuse
from streams.evaluation.base import Signal
from streams.features.text import item_text
from training.adversarial import Adversary
from training.augment import Augmentation
from training.cross_teacher import CrossRecipe, train_cross_encoder
from training.dataset import Dataset
from training.fit import fit_early
from training.language import load_language
from training.loop import Course
from training.mlm import pretrain_language
from training.phases import Watch
from training.recipe import Distillation, Recipe
from training.sequence_slices import SliceRecipe, cuts_of, train_slices
from training.sequence_teacher import SequenceRecipe, train_sequences
from training.splits import VALIDATION
from training.teacher import Ensemble, StudentTeacher, Teacher, fit_ensemble
from training.text import Texts

Progress = Callable[[str], None]
READING_FOLDER: Final = "reading"
"""Checkpoints of the language teacher, in the data set's folder."""


@dataclass(frozen=True, slots=True)
class School:
    """What a teacher is made from and how; `signals` and `items` give those of the log anew each time."""

    dataset: Dataset
    signals: Callable[[], Iterable[Signal]]
    items: Callable[[], Iterable[Item]]
    recipe: Recipe
    progress: Progress = lambda line: None


def pupil(school: School) -> Teacher:
    """Return a student of the labels, with a taste that knows no list's answer."""
    recipe = replace(school.recipe, distillation=Distillation())
    student, _, _ = fit_early(school.dataset, recipe, Watch(school.progress))
    return StudentTeacher(student.eval())


def sequence(school: School) -> Teacher:
    """Return a transformer over the sequences of before all lists."""
    plan = _sequence_recipe(school.recipe)
    return train_sequences(school.dataset.sequences, plan, part="early", progress=school.progress)


def slices(school: School) -> Teacher:
    """Return such transformers for one while after the other, each of all that came before."""
    teaching = school.recipe.teaching
    plan = SliceRecipe(_sequence_recipe(school.recipe), teaching.slices, teaching.later_epochs)
    return train_slices(school.signals, cuts_of(school.dataset, teaching.slices), plan, progress=school.progress)


def language(school: School) -> Teacher:
    """Return a language model that reads the words of a user's history and of a candidate together.

    Its training goes on where it was cut off, from READING_FOLDER, which stays until a student has learned.

    Raises:
        Misuse: no item has a text, or as `load_language`.
        BadModel: as `load_language`, or the folder's checkpoint is of something else.
    """
    reading, seed = school.recipe.reading, school.recipe.seed
    catalogue = list(school.items())
    texts = [item_text(item) for item in catalogue]
    if not any(texts):
        raise Misuse("the language teacher has nothing to read: no item of the catalogue has a text")
    model = load_language(Path(reading.model) if reading.model else None)
    folder = school.dataset.folder / READING_FOLDER
    if reading.masked_epochs:
        course = Course(seed=seed, epochs=reading.masked_epochs)
        pretrain_language(model, texts, course, folder=folder / "words", progress=school.progress)
    course = replace(
        CrossRecipe().course, seed=seed, epochs=reading.epochs, batch_rows=reading.batch_rows,
        learning_rate=reading.learning_rate,
    )  # fmt: skip
    plan = CrossRecipe(
        tuning=reading.tuning, weighting=reading.weighting, candidates=reading.candidates, course=course,
        augmentation=Augmentation() if reading.augmentation else None,
        adversary=Adversary() if reading.adversary else None,
    )  # fmt: skip
    return train_cross_encoder(
        school.dataset, Texts(catalogue), model, plan, folder=folder / "pairs", progress=school.progress
    )[0]


def ensemble(school: School) -> Ensemble:
    """Return pupil, slices, and language if the recipe says so, weighted by their worth on the validation lists."""
    makers = (language, pupil, slices) if school.recipe.reading.ensemble else (pupil, slices)
    members = [make(school) for make in makers]
    lists = school.dataset.whole(VALIDATION)
    made = fit_ensemble(members, [member.logits(lists) for member in members], lists)
    weights = ", ".join(f"{one.name} {weight:.2f}" for one, weight in zip(members, made.weights, strict=True))
    school.progress(f"ensemble: {weights}")
    return made


TEACHERS: Final[dict[str, Callable[[School], Teacher]]] = {
    "ensemble": ensemble,
    "language": language,
    "sequence": sequence,
    "slices": slices,
    "student": pupil,
}


def _sequence_recipe(recipe: Recipe) -> SequenceRecipe:
    teaching, plain = recipe.teaching, SequenceRecipe()
    course = replace(
        plain.course, seed=recipe.seed, epochs=teaching.epochs, batch_rows=teaching.batch_rows,
        learning_rate=teaching.learning_rate, weight_decay=teaching.weight_decay,
    )  # fmt: skip
    return replace(plain, course=course, masked_epochs=teaching.masked_epochs)
