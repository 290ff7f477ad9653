"""The teachers that a student can be distilled from, by name: each made from what the student learns from.

None knows the answer of a list by its sequences: it learned only those of before. Adding one: a function, a line in
TEACHERS, and its name in `recipe.py` and `streams/commands/distilling.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from streams.evaluation.base import Signal
from training.dataset import Dataset
from training.fit import fit_early
from training.phases import Watch
from training.recipe import Distillation, Recipe
from training.sequence_slices import SliceRecipe, cuts_of, train_slices
from training.sequence_teacher import SequenceRecipe, train_sequences
from training.splits import VALIDATION
from training.teacher import Ensemble, StudentTeacher, Teacher, fit_ensemble

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class School:
    """What a teacher is made from and how: lists, `signals`, which gives those of the log anew each time, a recipe."""

    dataset: Dataset
    signals: Callable[[], Iterable[Signal]]
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
    return train_sequences(school.dataset.sequences, plan, early=True, progress=school.progress)


def slices(school: School) -> Teacher:
    """Return such transformers for one while after the other, each of all that came before."""
    teaching = school.recipe.teaching
    plan = SliceRecipe(_sequence_recipe(school.recipe), teaching.slices, teaching.later_epochs)
    return train_slices(school.signals, cuts_of(school.dataset, teaching.slices), plan, progress=school.progress)


def ensemble(school: School) -> Ensemble:
    """Return pupil and slices, weighted by what they are worth on the validation lists."""
    members = [make(school) for make in (pupil, slices)]
    lists = school.dataset.whole(VALIDATION)
    made = fit_ensemble(members, [member.logits(lists) for member in members], lists)
    weights = ", ".join(f"{one.name} {weight:.2f}" for one, weight in zip(members, made.weights, strict=True))
    school.progress(f"ensemble: {weights}")
    return made


TEACHERS: Final[dict[str, Callable[[School], Teacher]]] = {
    "ensemble": ensemble,
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
