"""`streamrank train` and `simulate --train`, from a log to a version folder, as they are called."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

import training.fit
import training.run
from inference.onnx_ranker import OnnxRanker
from streams.cli import run
from streams.commands import distilling
from streams.evaluation.base import Case
from streams.evaluation.log import Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.run import Asked
from tests.training.conftest import DAY_MS, FIRST_MS, LIMITS, RECIPE, USERS, WEEKS, Event, shop, write_log
from tests.training.test_sequence_slices import signals
from tests.unit.building import settings
from training.dataset import Dataset
from training.lists import part
from training.manifest import golden
from training.recipe import Distillation
from training.sequence_slices import cuts_of
from training.student_file import STUDENT_FILE, load_student
from training.teacher import Ensemble
from training.teachers import TEACHERS, School

SPLIT_MS = FIRST_MS + (WEEKS - 2) * 7 * DAY_MS


QUICK_EPOCHS = 4
QUICK = [f"{key}={value}" for key, value in {
    "limits.train": LIMITS.train, "limits.validation": LIMITS.validation, "limits.negatives": LIMITS.negatives,
    "pretraining.epochs": 2, "pretraining.places": 20_000, "pretraining.negatives": 64,
    "fit.epochs": QUICK_EPOCHS, "fit.batch_lists": 8, "fit.learning_rate": 5e-3,
}.items()]  # fmt: skip
"""A recipe by which a training lasts a second."""


def test_it_writes_a_version_with_its_manifest(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, told = tmp_path / "ranker", tmp_path / "told.json"
    command = ["train", "--log", log, "--out", out, "--work", tmp_path / "work", "--version", 3, "--json", told, *QUICK]
    # The tiny shop decides nothing about quality: a refusal comes after everything is written.
    assert run([str(word) for word in [*command, "--split", SPLIT_MS]]) in (0, 1)
    shown = capsys.readouterr()
    manifest = json.loads((out / "3" / "manifest.json").read_text())
    assert json.loads(told.read_text()).items() >= manifest.items()
    assert sorted(path.name for path in (out / "3").iterdir()) == ["manifest.json", "model.onnx", STUDENT_FILE]
    assert [path.name for path in out.iterdir()] == ["3"]
    assert manifest["model"] == OnnxRanker(out, 3).model
    assert manifest["golden"] == golden(out, 3)
    steps = (WEEKS - 2) * USERS
    assert manifest["data"]["steps"] == steps
    assert manifest["data"]["lists"] == {"train": round(0.4 * steps), "validation": round(0.1 * steps)}
    evaluation = manifest["evaluation"]
    assert set(evaluation["leads"]) == set(evaluation["results"]) - {"streamrank", "ceiling"}
    for lead in evaluation["leads"].values():
        for difference, low, high in lead.values():
            assert low <= difference <= high
    assert "streamrank" in shown.out
    assert "before: validation ndcg@10" in shown.err


def test_a_ranker_that_is_no_better_is_refused_and_named() -> None:
    lead = {"recall": [0.2, 0.1, 0.3], "ndcg": [0.1, 0.01, 0.2]}
    worse = {"recall": [0.2, 0.1, 0.3], "ndcg": [0.1, 0.0, 0.2]}
    training.run.check({"evaluation": {"leads": {"popular": lead}}})
    with pytest.raises(training.run.BadModel, match="surely better than the baseline `recent`"):
        training.run.check({"evaluation": {"leads": {"popular": lead, "recent": worse}}})


def test_simulate_ranks_with_what_it_trained(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Path] = []
    learn = training.run.learn

    def noted(job: Any, out: Path, *arguments: Any, **options: Any) -> Any:
        used.append(out)
        return learn(job, out, *arguments, **options)

    monkeypatch.setattr(training.run, "learn", noted)
    told = tmp_path / "told.json"
    assert run(["simulate", str(log), "--train", "--split", str(SPLIT_MS), "--json", str(told)]) == 0
    results = json.loads(told.read_text())["results"]
    (folder,) = used
    assert not folder.parent.exists(), "the scratch folder is gone"
    assert results["streamrank"]["ndcg"] > 2 * results["popular"]["ndcg"]
    assert [path.name for path in tmp_path.iterdir()] == ["told.json"]


class Stopped(Exception):
    """The walk has told what it is to teach."""


@pytest.mark.parametrize(
    ("protocol", "chosen"),
    [
        ("next-basket", Chosen(split_ms=SPLIT_MS)),
        ("holdout-last", Chosen(strict=True)),
        ("prequential", Chosen(split_ms=SPLIT_MS)),
    ],
)
def test_nothing_that_is_predicted_was_learned(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str, chosen: Chosen
) -> None:
    """A signal that is a target comes in no entry of the training."""
    taught: list[tuple[str, int, str]] = []

    def listen(lesson: Any, *arguments: Any, **options: Any) -> None:
        taught.extend((entry.event.user_id, entry.at_ms, entry.event.item_id) for entry in lesson.entries())
        raise Stopped

    monkeypatch.setattr(training.run, "build", listen)
    job = training.run.Job(log, settings(), protocol, chosen, Asked(k=10, seed=1))
    with pytest.raises(Stopped):
        training.run.learn(job, tmp_path / "ranker", tmp_path / "lists", RECIPE)
    cases = [step for step in PROTOCOLS[protocol](chosen).walk(Log(log)) if isinstance(step, Case)]
    targets = {(case.user_id, case.at_ms, item) for case in cases for item in case.targets}
    assert len(taught) > 500
    assert len(targets) > 20
    assert targets.isdisjoint(taught)


def test_the_same_command_gives_the_same_bytes(log: Path, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        out = tmp_path / name / "ranker"
        command = ["train", "--log", log, "--out", out, "--work", tmp_path / name, "--split", SPLIT_MS, *QUICK]
        assert run([str(word) for word in command]) in (0, 1)
        made.append([(out / "1" / file).read_bytes() for file in ("manifest.json", "model.onnx")])
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in b"".join(made[0])


@pytest.mark.parametrize("command", [["train", "--log"], ["simulate", "--train"]])
def test_what_is_wrong_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    few: list[Event] = [event | {"at_ms": FIRST_MS + n} for n, event in enumerate(shop()[:4])]
    for place, said in (
        (tmp_path / "missing", "no such file or folder"),
        (write_log(tmp_path / "few", few), "too few to learn from"),
    ):
        out = ["--out", str(tmp_path / "ranker"), "--work", str(tmp_path / "work")] if command[0] == "train" else []
        assert run([*command, str(place), *out, "--split", str(FIRST_MS + 2)]) == 2
        error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("streamrank: ")]
        assert len(error) == 1
        assert said in error[0]
    assert run([*command, str(tmp_path / "few"), "--seed", str(2**32)]) == 2
    assert "--seed" in capsys.readouterr().err
    assert not list((tmp_path / "ranker").glob("**/*"))


@pytest.mark.parametrize("command", [["train", "--log"], ["simulate", "--train"]])
def test_without_torch_it_is_one_sentence(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str], tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("torch", "training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(tmp_path)
    assert run([*command, str(log)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "needs the package torch: pip install 'streamrank[" in error
    assert not list(tmp_path.iterdir())


def test_distill_trains_a_teacher_and_says_who_it_was(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ranker"
    words = ["distill", "--teacher", "student", "--log", log, "--out", out, "--work", tmp_path / "work", *QUICK]
    assert run([str(word) for word in [*words, "distillation.temperature=4", "--split", SPLIT_MS]]) in (0, 1)
    manifest = json.loads((out / "1" / "manifest.json").read_text())
    assert manifest["recipe"]["distillation"] == {"teacher": "student", "alpha": 0.5, "temperature": 4}
    assert manifest["data"]["teacher"]["name"] == "student"
    assert 0 < manifest["data"]["teacher"]["validation_ndcg"] <= 1
    assert "judged" in capsys.readouterr().err
    assert load_student(out / "1" / STUDENT_FILE)


def test_a_distillation_that_was_cut_off_goes_on_to_the_same_student(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    epoch, left = training.fit._epoch, QUICK_EPOCHS + 1  # noqa: SLF001

    def stop(*arguments: Any) -> float:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return epoch(*arguments)

    def distilled(name: str) -> tuple[int, str, Path]:
        words = ["distill", "--teacher", "student", "--log", log, "--out", tmp_path / name, "--work", tmp_path / "work"]
        code = run([str(word) for word in [*words, *QUICK, "--split", SPLIT_MS]])
        return code, capsys.readouterr().err, tmp_path / name / "1" / "model.onnx"

    _, said, whole = distilled("whole")
    assert said.count("epoch 1: loss") == 2  # the teacher's and the student's
    with monkeypatch.context() as patched:
        patched.setattr(training.fit, "_epoch", stop)
        assert distilled("cut")[0] == 130
    _, said, resumed = distilled("cut")
    assert said.count("epoch 1: loss") == 1
    assert resumed.read_bytes() == whole.read_bytes()


def test_every_teacher_has_a_name_for_the_command() -> None:
    assert set(TEACHERS) == set(distilling.TEACHERS) == set(get_args(get_type_hints(Distillation)["teacher"]))


@pytest.mark.parametrize("name", ["student", "sequence", "slices"])
def test_no_teacher_knows_the_answers_of_the_first_lists(name: str, dataset: Dataset, log: Path) -> None:
    """What came after the lists begin is changed, and with it nothing of what a teacher says of these."""
    lists = dataset.whole("train")
    begin_ms, cut_ms, _ = cuts_of(dataset, RECIPE.teaching.slices)
    first = part(lists, np.flatnonzero(lists.at_ms < cut_ms))
    later = dataset.sequences.items.copy()
    for start, early, end in zip(
        dataset.sequences.offsets, dataset.sequences.early, dataset.sequences.offsets[1:], strict=False
    ):
        later[start + early : end] = later[start + early : end][::-1]
    other = replace(dataset, sequences=replace(dataset.sequences, items=later))
    one, two = (
        TEACHERS[name](School(data, lambda ms=ms: signals(log, ms), tuple, RECIPE)).logits(first)  # type: ignore[misc]
        for data, ms in ((dataset, None), (other, begin_ms))
    )
    assert np.array_equal(one, two)


def test_an_ensemble_listens_to_its_members(dataset: Dataset, log: Path) -> None:
    lists, told = dataset.whole("validation"), list[str]()
    made = TEACHERS["ensemble"](School(dataset, lambda: signals(log), tuple, RECIPE, told.append))
    assert isinstance(made, Ensemble)
    assert [one.name for one in made.members] == ["student", "sequence"]
    assert any(line.startswith("ensemble: student ") for line in told)
    assert made.logits(lists).shape == (len(lists.item_ids), 3)
