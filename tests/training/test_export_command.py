"""`streamrank export`: model folders of trained models, in full, in eight bits and narrower, as they are called."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.onnx_encoder import OnnxEncoder
from inference.onnx_ranker import OnnxRanker
from inference.tensors import config_pbtxt
from streams.cli import run
from tests.training.conftest import RECIPE
from tests.training.languages import saved
from tests.training.test_student import drawn, mixed
from training.dataset import Dataset
from training.fit import fit
from training.prune import narrowed
from training.student import LAYERS
from training.student_file import save_student


@pytest.fixture(scope="module")
def checkpoint(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("work") / "student.pt"
    save_student(fit(dataset, RECIPE).student, path)
    return path


def exported(*words: object) -> int:
    return run(["export", *map(str, words)])


def test_a_student_in_full_has_its_config_and_its_ndcg(checkpoint: Path, dataset: Dataset, tmp_path: Path) -> None:
    out, told = tmp_path / "ranker", tmp_path / "told.json"
    words = ("student", checkpoint, "--out", out, "--version", 3, "--target", "gpu", "--lists", dataset.folder)
    assert exported(*words, "--json", told) == 0
    assert (out / "config.pbtxt").read_text() == config_pbtxt("ranker", "gpu")
    report = json.loads(told.read_text())
    assert report["whole"] is None
    assert report["made"]["bytes"] == (out / "3" / "model.onnx").stat().st_size
    assert 0.3 < report["made"]["ndcg"] <= 1
    assert OnnxRanker(out, 3).model == "ranker/3"


def test_in_eight_bits_it_is_small_and_loses_next_to_nothing(
    checkpoint: Path, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, told = tmp_path / "ranker", tmp_path / "told.json"
    assert exported("student", checkpoint, "--out", out, "--int8", "--lists", dataset.folder, "--json", told) == 0
    report = json.loads(told.read_text())
    assert report["made"]["bytes"] < 0.4 * report["whole"]["bytes"]
    assert report["made"]["ndcg"] >= 0.99 * report["whole"]["ndcg"]
    assert "of it is lost" in capsys.readouterr().out


def test_a_narrower_student_keeps_the_units_that_say_most(checkpoint: Path, dataset: Dataset, tmp_path: Path) -> None:
    out, told = tmp_path / "ranker", tmp_path / "told.json"
    words = ("student", checkpoint, "--out", out, "--narrow", 0.5, "--lists", dataset.folder, "--json", told)
    assert exported(*words) == 0
    report = json.loads(told.read_text())
    assert report["made"]["bytes"] < report["whole"]["bytes"]
    assert report["made"]["ndcg"] > 0.8 * report["whole"]["ndcg"]


def test_units_that_say_nothing_can_go() -> None:
    student, inputs = mixed(), drawn(3, 40)
    with torch.no_grad():
        for layer in (student.deep[3], student.deep[6], student.taste.down):
            layer.weight[:, ::2] = 0.0  # type: ignore[index,union-attr,operator]
        small, tensors = narrowed(student, 0.5), [torch.from_numpy(array) for _, array in inputs.tensors()]
        torch.testing.assert_close(small.logits(*tensors), student.logits(*tensors), rtol=1e-4, atol=1e-4)
    assert [small.deep[n].out_features for n in (0, 3)] == [size // 2 for size in LAYERS]  # type: ignore[union-attr]


def test_an_encoder_learns_its_codes_from_the_catalogue(log: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "models" / "encoder", tmp_path / "told.json"
    model = saved(tmp_path / "language", seed=4)
    assert exported("encoder", log, "--model", model, "--out", out, "--json", told) == 0
    assert json.loads(told.read_text())["path"] == str(out / "1")
    codes = OnnxEncoder(out, 1).codes([f"item {n}" for n in range(9)])
    assert len(np.unique(codes, axis=0)) > 1


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"no checkpoint", "holds no student"), (None, "no such file")],
)
def test_what_is_no_checkpoint_is_one_sentence(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "student.pt"
    if content is not None:
        path.write_bytes(content)
    assert exported("student", path, "--out", tmp_path / "ranker") in (1, 2)
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "ranker").exists()


def test_a_student_of_another_shape_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_student(narrowed(mixed(), 0.5), tmp_path / "student.pt")
    assert exported("student", tmp_path / "student.pt", "--out", tmp_path / "ranker") == 1
    assert "holds no student of this version: is of another shape: " in capsys.readouterr().err


def test_a_student_of_an_earlier_version_is_one_sentence_that_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = mixed().state_dict()
    del state["trust"]
    torch.save(state, tmp_path / "student.pt")
    assert exported("student", tmp_path / "student.pt", "--out", tmp_path / "ranker") == 1
    shown = capsys.readouterr().err
    assert "holds no student of this version: is of another shape: trust is missing, not a number" in shown
    assert shown.count("\n") == 1


def test_lists_that_are_none_are_one_sentence(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported("student", checkpoint, "--out", tmp_path / "ranker", "--lists", tmp_path) == 2
    assert "no validation lists" in capsys.readouterr().err
