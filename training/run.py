"""A ranker from a log, end to end: walk, fit, export, evaluate, manifest.

streamrank import complete-journey runs/complete-journey
streamrank train --log runs/complete-journey --split 2017-11-01T00:00Z --min-count 10

What is learned from is what the protocol teaches, so what it predicts afterwards was never seen.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.onnx_ranker import OnnxRanker
from streams.errors import BadModel
from streams.evaluation.base import Signal
from streams.evaluation.intervals import Paired, paired
from streams.evaluation.metrics import measure
from streams.evaluation.protocols import Chosen
from streams.evaluation.run import Asked, Outcome
from streams.evaluation.simulation import Simulation, simulate
from streams.settings import Settings
from training.clean import Cleaner
from training.dataset import Dataset, build
from training.distil import taught
from training.export import export
from training.fit import TOP, fit
from training.lesson import Lesson
from training.manifest import write_manifest
from training.phases import Scalars, Watch
from training.recipe import Recipe
from training.search import search
from training.splits import VALIDATION
from training.student_file import STUDENT_FILE, save_student
from training.teacher import judged
from training.teachers import READING_FOLDER, TEACHERS, School

Progress = Callable[[str, int | None], None]
"""Told what is going on, and where there is a count, how far it is."""
FIT_FOLDER = "fit"
"""Beside the lists: where a fit that was cut off goes on."""
LEADS = ("recall", "ndcg")


@dataclass(frozen=True, slots=True)
class Job:
    """What to train on: a log, the protocol that says which part of it, and how it is asked."""

    log: Path
    settings: Settings
    protocol: str
    chosen: Chosen
    asked: Asked


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a training: the manifest as written, the evaluation, and how long the fit took."""

    path: Path
    manifest: dict[str, Any]
    simulation: Simulation
    seconds: float


def learn(
    job: Job,
    out: Path,
    work: Path,
    recipe: Recipe,
    *,
    version: int = 1,
    progress: Progress = lambda what, count: None,
    scalars: Scalars = lambda name, value, epoch: None,
) -> tuple[OnnxRanker, dict[str, Any], float]:
    """Train and write `<out>/<version>` (model, weights); return the ranker, what it learned from, the fit's seconds.

    `work` is where data sets are kept.

    Raises:
        Misuse: the log can't be read or has nothing to learn from.
        BadModel: the file failed a check.
    """
    lesson = Lesson(job.log, job.protocol, job.chosen)
    dataset = build(lesson, work, job.settings, recipe, processes=job.asked.processes, progress=progress)
    read_from, fit_folder = dataset.folder / READING_FOLDER, dataset.folder / FIT_FOLDER
    teacher: dict[str, Any] = {}
    if recipe.distillation.alpha:
        school = School(dataset, _signals(lesson, recipe), lesson.items, recipe, lambda line: progress(line, None))
        dataset, teacher = _taught(school, work / "taught")
        fit_folder = fit_folder.with_name(f"{FIT_FOLDER}-taught")  # not in what is made anew each time
    watch = Watch(lambda line: progress(line, None), scalars, fit_folder)
    fitted = fit(dataset, recipe, watch)
    shutil.rmtree(read_from, ignore_errors=True)
    export(fitted.student, out, version)
    save_student(fitted.student, out / str(version) / STUDENT_FILE)
    learned = dataset.meta | teacher | {"best_epoch": fitted.best_epoch, "trust": fitted.student.trust.item()}
    learned["validation_ndcg"] = [round(value, 4) for value in fitted.validation_ndcg]
    return OnnxRanker(out, version), learned, fitted.seconds


def searched(
    job: Job, work: Path, recipe: Recipe, trials: int, progress: Progress = lambda what, count: None
) -> tuple[Recipe, float]:
    """Return the best recipe that a search of so many trials found, and its NDCG on the validation lists.

    Raises:
        Misuse: the log can't be read or has nothing to learn from.
        MissingServer: optuna isn't installed.
    """
    lesson = Lesson(job.log, job.protocol, job.chosen)
    dataset = build(lesson, work, job.settings, recipe, processes=job.asked.processes, progress=progress)
    return search(dataset, recipe, trials, lambda line: progress(line, None))


def _signals(lesson: Lesson, recipe: Recipe) -> Callable[[], Iterator[Signal]]:
    """Return what gives the signals that lists were made of, in order."""
    cleaner = Cleaner.survey(lesson.entries(), recipe.cleaning)
    return lambda: (one for _, one in cleaner.signals(lesson.entries()))


def _taught(school: School, out: Path) -> tuple[Dataset, dict[str, Any]]:
    """Return the data set with a teacher's word, and who that was."""
    teacher = TEACHERS[school.recipe.distillation.teacher](school)
    lists = school.dataset.whole(VALIDATION)
    good = judged(teacher.logits(lists), lists)
    school.progress(f"teacher {teacher.name}: validation ndcg@{TOP} {good:.4f}")
    said = {"name": teacher.name, "validation_ndcg": round(good, 4)}
    return taught(school.dataset, teacher, out, school.progress), {"teacher": said}


def train(
    job: Job,
    out: Path,
    work: Path,
    *,
    recipe: Recipe,
    source: str,
    version: int = 1,
    progress: Progress = lambda what, count: None,
    scalars: Scalars = lambda name, value, epoch: None,
) -> Trained:
    """Train a version, evaluate it by the job's protocol, and write its manifest; `source` names the data for people.

    Raises:
        Misuse, BadModel: as `learn`.
    """
    ranker, learned, seconds = learn(job, out, work, recipe, version=version, progress=progress, scalars=scalars)
    progress("evaluating", None)
    simulation = simulate(job.log, job.settings, job.protocol, job.chosen, job.asked, ranker=ranker, progress=progress)
    evaluation = _evaluation(simulation.result, leads(simulation.outcome, job.asked))
    manifest = write_manifest(out, version, {"source": source} | learned, recipe, evaluation)
    return Trained(out / str(version), manifest, simulation, seconds)


def leads(outcome: Outcome, asked: Asked) -> dict[str, dict[str, Paired]]:
    """Return by how much Streamrank is better than each baseline in each of LEADS, by user."""
    users = [case.user_id for case in outcome.cases]
    ours = measure([answer.items for answer in outcome.answers], outcome.cases, asked.k)
    theirs = {name: measure(ranking, outcome.cases, asked.k) for name, ranking in outcome.rankings.items()}
    return {
        name: {metric: paired(ours[metric], values[metric], users, asked.seed) for metric in LEADS}
        for name, values in theirs.items()
    }


def check(manifest: dict[str, Any]) -> None:
    """Refuse a ranker that is not better than every baseline, with its whole interval.

    Raises:
        BadModel: it isn't.
    """
    for name, lead in manifest["evaluation"]["leads"].items():
        if lead["ndcg"][1] <= 0:
            raise BadModel(
                f"the ranker isn't surely better than the baseline `{name}`: its lead in ndcg is {lead['ndcg']}"
            )


def _evaluation(result: dict[str, Any], leads: dict[str, dict[str, Paired]]) -> dict[str, Any]:
    """Return what a manifest keeps of a result: [mean, low, high], 95 %."""
    kept = {
        name: {metric: [values[metric], *bounds] for metric, bounds in values["intervals"].items()}
        for name, values in result["results"].items()
    }
    rounded = {
        name: {metric: [round(x, 6) for x in (p.difference, p.low, p.high)] for metric, p in lead.items()}
        for name, lead in leads.items()
    }
    return {name: result[name] for name in ("protocol", "k", "cases", "users")} | {"results": kept, "leads": rounded}
