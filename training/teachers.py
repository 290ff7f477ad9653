"""The teachers that a student can be distilled from, by name: each made from the data set that the student learns from.

None has seen what came after the lists begin, which holds their answers. Adding one: a function, a line in TEACHERS.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from training.dataset import Dataset
from training.fit import fit_early
from training.phases import Watch
from training.recipe import Distillation, Recipe
from training.sequence_teacher import SequenceRecipe, train_sequences
from training.splits import VALIDATION
from training.teacher import Ensemble, StudentTeacher, Teacher, fit_ensemble

Progress = Callable[[str], None]


def pupil(dataset: Dataset, recipe: Recipe, progress: Progress) -> Teacher:
    """Return a student of the labels, with a taste that knows no list's answer."""
    student, _, _ = fit_early(dataset, replace(recipe, distillation=Distillation()), Watch(progress))
    return StudentTeacher(student.eval())


def sequence(dataset: Dataset, recipe: Recipe, progress: Progress) -> Teacher:
    """Return a transformer over the sequences, by cross-entropy over all items."""
    plan = SequenceRecipe()
    plan = replace(plan, course=replace(plan.course, seed=recipe.seed))
    return train_sequences(dataset.sequences, plan, early=True, progress=progress)


def ensemble(dataset: Dataset, recipe: Recipe, progress: Progress) -> Ensemble:
    """Return both, weighted by what they are worth on the validation lists."""
    members = [make(dataset, recipe, progress) for make in (pupil, sequence)]
    lists = dataset.whole(VALIDATION)
    made = fit_ensemble(members, [member.logits(lists) for member in members], lists)
    weights = ", ".join(f"{one.name} {weight:.2f}" for one, weight in zip(members, made.weights, strict=True))
    progress(f"ensemble: {weights}")
    return made


TEACHERS: Final[dict[str, Callable[[Dataset, Recipe, Progress], Teacher]]] = {
    "ensemble": ensemble,
    "sequence": sequence,
    "student": pupil,
}
