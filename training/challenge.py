"""A challenger: learned on from the champion, and judged against it on the same lists, the newest and old ones.

Both score the very candidates that retrieval would have served then. The challenger is refused unless its NDCG on the
newest slice is surely not lower than the champion's by more than a margin, and if it loses more than a bound on the old
slice: what was learned must not cost what was known.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.onnx_ranker import OnnxRanker
from inference.ranker import RankerInputs
from inference.tensors import RANKER_INPUTS
from streams.errors import BadModel
from streams.evaluation.intervals import Interval, Paired, intervals, paired
from streams.evaluation.verdict import decide
from streams.settings import Settings
from streams.slate.select import worth
from training.checkpoints import digest
from training.dataset import Dataset, Progress, build
from training.export import export
from training.feedback import feedback_lists
from training.fit import TOP, fit, ndcg_of
from training.lesson import Lesson
from training.lists import Lists, batches
from training.manifest import write_manifest
from training.periods import NEWEST, OLD, Periods
from training.phases import Watch
from training.recipe import Recipe
from training.student import Student
from training.student_file import STUDENT_FILE, load_student, save_student
from training.walk import SUFFIX

METRIC: Final = "ndcg"
FIT_FOLDER: Final = "fit"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much NDCG a challenger may lose: on the newest slice with its whole interval, on the old one on average."""

    margin: float
    forgetting: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What both made of one slice of N lists, and how sure the difference is."""

    lists: int
    challenger: Interval
    champion: Interval
    lead: Paired
    sentence: str


@dataclass(frozen=True, slots=True)
class Challenger:
    """A version that was made, in its folder, with its manifest; `refused` says why it isn't to be published."""

    place: Path
    manifest: Mapping[str, Any]
    refused: str | None

    @property
    def metrics(self) -> dict[str, float]:
        """What is told of it: NDCG on the newest slice, and by how much it leads on each."""
        return {name: value[0] for name, value in self.manifest["evaluation"]["results"]["streamrank"].items()}


def base_of(place: Path) -> tuple[Student | None, str]:
    """Return the student of a version's folder to learn on from, and a sentence about it; None if there is none."""
    path = place / STUDENT_FILE
    if not path.is_file():
        return None, f"anew: {place.name} has no {STUDENT_FILE} beside its manifest"
    try:
        return load_student(path), f"from version {place.name}"
    except BadModel as exc:
        return None, f"anew: {exc}"


def make(
    log: Path,
    feedback: Path | None,
    champion: OnnxRanker,
    champion_place: Path,
    out: Path,
    work: Path,
    *,
    settings: Settings,
    recipe: Recipe,
    periods: Periods,
    bounds: Bounds,
    told: Mapping[str, Any],
    progress: Progress = lambda what, count: None,
) -> Challenger:
    """Train a challenger on a log into `<out>/1`, and judge it; `told` goes into the manifest as it is.

    Cut off, the same again goes on after the last whole epoch.

    Raises:
        Misuse: the log can't be read, or there is too little in it.
        StreamrankError: as `train`.
    """
    dataset = build(Lesson(log), work, settings, recipe, periods=periods, progress=progress)
    if feedback is not None:
        dataset = with_feedback(dataset, feedback, work / "feedback", recipe.limits.train)
    base, begun = base_of(champion_place)
    progress(f"training begins {begun}", None)
    made_by = {"base": base and _digest(base), "added": len(dataset.added)}
    watch = Watch(lambda line: progress(line, None), folder=work / FIT_FOLDER, made_by=made_by)
    fitted = fit(dataset, recipe, watch, base)
    export(fitted.student, out, 1)
    save_student(fitted.student, out / "1" / STUDENT_FILE)
    challenger = OnnxRanker(out, 1)
    slices = {name: judge(challenger, champion, dataset.whole(name), recipe.seed) for name in _slices(dataset)}
    for name, one in slices.items():
        progress(f"{name} slice: {one.sentence}", None)
    data = dataset.meta | dict(told) | {"begun": begun, "feedback_lists": _count(dataset.added)}
    data |= {"best_epoch": fitted.best_epoch, "validation_ndcg": [round(v, 4) for v in fitted.validation_ndcg]}
    manifest = write_manifest(out, 1, data, recipe, _evaluation(slices, champion.model, bounds))
    return Challenger(out / "1", manifest, manifest["evaluation"]["refused"])


def judge(challenger: OnnxRanker, champion: OnnxRanker, lists: Lists, seed: int) -> Judged:
    """Return how both order the same lists."""
    ours, theirs = scores(challenger, lists), scores(champion, lists)
    values = {"challenger": ndcg_of(ours, lists), "champion": ndcg_of(theirs, lists)}
    users = [str(user) for user in lists.users.tolist()]
    means = intervals(values, users, seed)
    lead = paired(values["challenger"], values["champion"], users, seed)
    sentence = decide(METRIC, lead, _other_slates(ours, theirs, lists))["sentence"]
    sentence = sentence.replace("B is", "the challenger is").replace("A and B", "both").replace("than A", "than it")
    return Judged(len(lists), means["challenger"], means["champion"], lead, sentence)


def refusal(slices: Mapping[str, Judged], bounds: Bounds) -> str | None:
    """Return why a challenger isn't to be published, None if it is."""
    newest, old = slices[NEWEST].lead, slices.get(OLD)
    if newest.low <= -bounds.margin:
        return (
            f"not surely as good as the champion on the newest slice: ndcg {newest.difference:+.4f}, 95 % interval "
            f"{newest.low:+.4f} to {newest.high:+.4f}, the bound is {-bounds.margin:+.4f}"
        )
    if old is not None and old.lead.difference < -bounds.forgetting:
        return (
            f"it forgot: ndcg on the old slice {old.lead.difference:+.4f} against the champion, the bound is "
            f"{-bounds.forgetting:+.4f}"
        )
    return None


def scores(ranker: OnnxRanker, lists: Lists) -> NDArray[np.float64]:
    """Return by what a ranker orders the candidates of all lists, (R,)."""
    found = []
    for one in batches(lists, 64):
        inputs = RankerInputs(**{tensor.name: getattr(one, tensor.name) for tensor in RANKER_INPUTS})
        found.append(worth(ranker.score(inputs)[one.weight > 0]))
    return np.concatenate(found)


def with_feedback(dataset: Dataset, feedback: Path, folder: Path, limit: int) -> Dataset:
    """Return the data set with shards of what was served and seen, at most so many lists of it."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, lists = [], 0
    for number, part in enumerate(feedback_lists(feedback)):
        if lists >= limit:
            break
        paths.append(folder / f"feedback-{number:04d}{SUFFIX}")
        part.save(paths[-1])
        lists += len(part)
    return replace(dataset, added=tuple(paths))


def _other_slates(ours: NDArray[np.float64], theirs: NDArray[np.float64], lists: Lists) -> float:
    """Return the share of lists whose first TOP differ."""
    pairs = list(zip(lists.offsets[:-1].tolist(), lists.offsets[1:].tolist(), strict=True))
    tops = [
        [np.argsort(-score[start:end], kind="stable")[:TOP].tolist() for start, end in pairs]
        for score in (ours, theirs)
    ]
    return float(np.mean([one != other for one, other in zip(*tops, strict=True)]))


def _slices(dataset: Dataset) -> list[str]:
    return [name for name in (NEWEST, OLD) if dataset.meta["shards"].get(name)]


def _digest(student: Student) -> str:
    return digest(value.numpy().tobytes() for value in student.state_dict().values())


def _count(paths: tuple[Path, ...]) -> int:
    return sum(len(Lists.load(path)) for path in paths)


def _evaluation(slices: Mapping[str, Judged], champion: str, bounds: Bounds) -> dict[str, Any]:
    """Return what a manifest keeps: [mean, low, high], 95 %."""
    kept = {
        name: {
            "lists": one.lists,
            "challenger": _rounded(one.challenger.mean, one.challenger.low, one.challenger.high),
            "champion": _rounded(one.champion.mean, one.champion.low, one.champion.high),
            "lead": _rounded(one.lead.difference, one.lead.low, one.lead.high),
            "p_value": round(one.lead.p_value, 6),
            "sentence": one.sentence,
        }
        for name, one in slices.items()
    }
    leads = {f"{name}_lead": one["lead"] for name, one in kept.items()}
    return {
        "champion": champion,
        "k": TOP,
        "bounds": asdict(bounds),
        "refused": refusal(slices, bounds),
        "slices": kept,
        "results": {"streamrank": {METRIC: kept[NEWEST]["challenger"]} | leads},
    }


def _rounded(*values: float) -> list[float]:
    return [round(value, 6) for value in values]
