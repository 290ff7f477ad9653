"""A challenger learns on from its champion and is judged on the same lists: better ones pass, spoiled ones don't."""

from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference.onnx_ranker import OnnxRanker
from inference.verify import verify
from streams.errors import Misuse
from streams.evaluation.intervals import Interval, Paired
from tests.support import damaged, write_version
from tests.training.conftest import DAY_MS, FIRST_MS, ITEMS, RECIPE, WEEKS, Event, shop, write_log
from tests.training.test_feedback import record, write
from tests.unit.building import settings
from training import challenge
from training.challenge import Bounds, Challenger, Judged, base_of, make, refusal, with_feedback
from training.dataset import Dataset, build
from training.fit import fit
from training.lesson import Lesson
from training.lists import Lists
from training.periods import NEWEST, OLD, Periods, choose_periods
from training.recipe import Limits
from training.steps import Step
from training.student import Student
from training.student_file import STUDENT_FILE, load_student

WEEK_MS = 7 * DAY_MS
NEWEST_MS = FIRST_MS + (WEEKS - 2) * WEEK_MS
PERIODS = Periods(NEWEST_MS - 3 * WEEK_MS, NEWEST_MS, replay=0.3)
BOUNDS = Bounds(margin=0.002, forgetting=0.05)


def spoiled(events: list[Event]) -> list[Event]:
    """Return the events with other items in the window: nobody buys there what they buy otherwise."""
    generator = np.random.default_rng(0)
    had: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for event in events:
        had[event["user_id"]][event["item_id"]] += 1
    changed = []
    for event in events:
        rarest = sorted((had[event["user_id"]][f"i{n}"], generator.random(), f"i{n}") for n in range(ITEMS))
        spoils = PERIODS.window_from_ms <= event["at_ms"] < NEWEST_MS
        changed.append(event | {"item_id": rarest[generator.integers(ITEMS // 3)][2]} if spoils else event)
    return changed


def made(log: Path, folder: Path, champion: Path, **changes: Any) -> Challenger:
    told = {"because": "a test"}
    given: dict[str, Any] = {
        "settings": settings(), "recipe": RECIPE, "periods": PERIODS, "bounds": BOUNDS, "told": told,
    }  # fmt: skip
    ranker = OnnxRanker(champion.parent, int(champion.name))
    return make(log, None, ranker, champion, folder / "ranker", folder / "lists", **given | changes)


@pytest.fixture(scope="module")
def bad_champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It ranks the wrong way round: what is popular or repeated comes last."""
    wrong = damaged(lambda weights: -np.abs(weights))
    return write_version(tmp_path_factory.mktemp("champion") / "ranker", 1, seed=1, model=wrong)


@pytest.fixture(scope="module")
def first(log: Path, bad_champion: Path, tmp_path_factory: pytest.TempPathFactory) -> Challenger:
    return made(log, tmp_path_factory.mktemp("first"), bad_champion)


def test_one_that_is_better_is_not_refused_and_is_a_whole_version(first: Challenger) -> None:
    assert first.refused is None
    evaluation = first.manifest["evaluation"]
    assert evaluation["slices"]["newest"]["lead"][1] > 0
    assert evaluation["slices"]["newest"]["sentence"].startswith("the challenger is better than it: ndcg +")
    assert set(evaluation["slices"]) == {"newest", "old"}
    assert first.metrics["newest_lead"] == evaluation["slices"]["newest"]["lead"][0]
    assert set(first.manifest["sha256"]) == {"model.onnx", STUDENT_FILE}
    manifest, _ = verify(first.place.parent, 1)
    assert manifest.metrics == first.metrics
    assert set(first.metrics) == {"ndcg", "newest_lead", "old_lead"}
    assert first.manifest["data"]["begun"] == f"anew: 1 has no {STUDENT_FILE} beside its manifest"


def test_one_of_a_spoiled_window_is_refused(first: Challenger, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", spoiled(shop()))
    challenger = made(log, tmp_path, first.place)
    assert challenger.refused is not None
    assert challenger.refused.startswith("not surely as good as the champion on the newest slice: ndcg -")
    assert challenger.manifest["evaluation"]["refused"] == challenger.refused
    assert challenger.manifest["data"]["begun"] == "from version 1"


def test_it_begins_with_the_weights_of_the_champion(first: Challenger, log: Path, tmp_path: Path) -> None:
    """After so small a step it is still nearly that; begun anew it would be far off."""
    small = replace(
        RECIPE, fit=replace(RECIPE.fit, epochs=1, learning_rate=1e-9),
        pretraining=replace(RECIPE.pretraining, epochs=1, learning_rate=1e-9),
    )  # fmt: skip
    base, said = base_of(first.place)
    assert said == "from version 1"
    assert base is not None
    before, after = base.state_dict(), fit(of_periods(log, tmp_path), small, None, base).student.state_dict()
    for name, one in before.items():
        if name not in ("calibration", "trust"):  # these are chosen anew
            assert torch.allclose(one, after[name], atol=1e-4), name


def test_a_student_of_another_shape_is_no_base(tmp_path: Path) -> None:
    (tmp_path / STUDENT_FILE).write_bytes(b"no weights")
    student, said = base_of(tmp_path)
    assert student is None
    assert said.startswith("anew: ")
    assert "\n" not in said


def test_feedback_is_learned_beside_the_walk(log: Path, tmp_path: Path) -> None:
    dataset = of_periods(log, tmp_path)
    lists = dataset.whole("validation")
    path = write(tmp_path / "feedback.jsonl", [record(lists, n) for n in range(len(lists))])
    more = with_feedback(dataset, path, tmp_path / "feedback", limit=1_000)
    assert [len(Lists.load(one)) for one in more.added] == [len(lists)]
    assert [one for one in more.paths("train") if one not in dataset.paths("train")] == list(more.added)
    assert more.paths("validation") == dataset.paths("validation")
    assert with_feedback(dataset, path, tmp_path / "none", limit=0).added == ()
    learned, without = (fit(one, RECIPE).student.state_dict() for one in (more, dataset))
    assert not torch.equal(learned["direct.weight"], without["direct.weight"])


def of_periods(log: Path, work: Path) -> Dataset:
    return build(Lesson(log), work / "lists", settings(), RECIPE, periods=PERIODS)


def test_nothing_of_the_newest_slice_is_learned(log: Path, tmp_path: Path) -> None:
    """The items of the newest slice are dealt out anew, and what is learned from is the same."""
    events = shop()
    newest = [event for event in events if event["at_ms"] >= NEWEST_MS]
    items = [event["item_id"] for event in newest]
    changed = [event | {"item_id": item} for event, item in zip(newest, items[::-1], strict=True)]
    other = write_log(tmp_path / "other", [*(e for e in events if e["at_ms"] < NEWEST_MS), *changed])
    one, two = of_periods(log, tmp_path / "a"), of_periods(other, tmp_path / "b")
    for split in ("train", "validation", OLD):
        assert np.array_equal(one.whole(split).depth, two.whole(split).depth)
        assert (one.whole(split).at_ms < NEWEST_MS).all()
    assert np.array_equal(one.sequences.items, two.sequences.items)
    assert (one.whole(NEWEST).at_ms >= NEWEST_MS).all()


def steps(count: int) -> list[Step]:
    return [Step(f"u{n % 7}", n, n, None, {"i": 3}) for n in range(count)]


def test_periods_are_apart_and_a_share_of_the_lists_is_older() -> None:
    chosen = choose_periods(steps(1_000), Periods(750, 900, replay=0.25), Limits(train=80, validation=20), seed=1)
    times = {split: [] for split in ("train", "validation", OLD, NEWEST)}
    for one in chosen.wanted.values():
        times[one.split].append(one.step.at_ms)
    assert {split: len(some) for split, some in times.items()} == {"train": 80, "validation": 20, OLD: 20, NEWEST: 20}
    assert min(times[NEWEST]) >= chosen.until == 900  # type: ignore[operator]
    assert max(times["train"]) < min(times["validation"]) < 900
    older = [at_ms for at_ms in times["train"] if at_ms < 750]
    assert 0 < len(older) <= 20, "those that the old slice has drawn are left to it"
    assert set(older).isdisjoint(times[OLD])
    assert max(times[OLD]) < 750
    assert min(older + times[OLD]) >= 450, "the first half of what comes before fills the counters"
    assert chosen.train_from == min(older + times[OLD])
    assert chosen.validation_from <= min(times["validation"])
    assert chosen.validation_from > max(times["train"])


def test_a_log_no_longer_than_its_window_has_no_old_slice() -> None:
    chosen = choose_periods(steps(1_000), Periods(0, 900, replay=0.25), Limits(train=80, validation=20), seed=1)
    assert {one.split for one in chosen.wanted.values()} == {"train", "validation", NEWEST}


def test_too_little_is_one_sentence(log: Path, bad_champion: Path, tmp_path: Path) -> None:
    limits = Limits()
    with pytest.raises(Misuse, match="nobody did anything in the newest slice"):
        choose_periods(steps(10), Periods(0, 99, 0.2), limits, 1)
    for few in (steps(2), []):
        with pytest.raises(Misuse, match="the newest slice"):
            choose_periods(few, Periods(0, 1, 0.2), limits, 1)
    with pytest.raises(Misuse, match="0 of them in the window: too few to learn from"):
        choose_periods(steps(1_000), Periods(899, 899, 0.2), limits, 1)
    only = [event | {"item_id": f"n{n}"} for n, event in enumerate(shop())]
    with pytest.raises(Misuse, match="nothing to learn: of the candidates that were retrieved, none was wanted"):
        made(write_log(tmp_path / "log", only), tmp_path, bad_champion)
    assert not (tmp_path / "ranker").exists()


def judged(low: float, difference: float = 0.0) -> Judged:
    return Judged(9, Interval(0, 0, 0), Interval(0, 0, 0), Paired(difference, low, 1.0, 0.5), "")


def test_who_forgets_or_may_be_worse_is_refused() -> None:
    bounds = Bounds(margin=0.01, forgetting=0.02)
    assert refusal({NEWEST: judged(-0.009)}, bounds) is None
    assert refusal({NEWEST: judged(-0.009), OLD: judged(-1.0, -0.019)}, bounds) is None
    assert "on the newest slice" in str(refusal({NEWEST: judged(-0.011)}, bounds))
    assert "it forgot: ndcg on the old slice -0.0210" in str(
        refusal({NEWEST: judged(0.1), OLD: judged(-1.0, -0.021)}, bounds)
    )


class Cut(Exception):
    """The process ended here."""


def test_a_training_that_was_cut_off_goes_on_to_the_same_weights(
    first: Challenger, log: Path, bad_champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def tell(what: str, count: int | None) -> None:
        told.append(what)
        if what.startswith("epoch 2"):
            raise Cut

    def weights(student: Student, folder: Path, version: int) -> None:
        for name, one in load_student(first.place / STUDENT_FILE).state_dict().items():
            assert torch.equal(one, student.state_dict()[name]), name
        raise Cut

    monkeypatch.setattr(challenge, "export", weights)
    for _ in range(2):
        with pytest.raises(Cut):
            made(log, tmp_path, bad_champion, progress=tell)
    assert [line[:7] for line in told if line.startswith("epoch")] == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert not (tmp_path / "ranker").exists()
