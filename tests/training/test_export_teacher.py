"""A teacher's file says what torch says, in full and in eight bits, and is made by the command."""

import json
from pathlib import Path

import onnx
import pytest
import torch

from streams.cli import run
from streams.errors import BadModel
from tests.training.languages import tiny
from training.cross_encoder import CrossEncoder
from training.export_teacher import TEACHER, export_teacher


def crossed() -> CrossEncoder:
    torch.manual_seed(2)
    return CrossEncoder(tiny(seed=4)).eval()


def test_the_command_writes_a_file_of_the_contract(tmp_path: Path) -> None:
    crossed().save(tmp_path / "cross")
    out, told = tmp_path / "teacher", tmp_path / "told.json"
    words = ["export", "teacher", tmp_path / "cross", "--out", out, "--version", 2, "--int8", "--json", told]
    assert run([str(word) for word in words]) == 0
    said = json.loads(told.read_text())
    assert said == {"path": str(out / "2"), "bytes": (out / "2" / "model.onnx").stat().st_size}
    assert sorted(path.name for path in (out / "2").iterdir()) == ["model.onnx", "tokenizer.json"]
    graph = onnx.load(out / "2" / "model.onnx").graph
    assert [one.name for one in graph.input] == [one.name for one in TEACHER[0]]
    # Word embeddings are nearly all of so small a model.
    assert said["bytes"] < 0.4 * sum(4 * weight.numel() for weight in crossed().parameters())


def test_one_that_says_nonsense_is_not_written(tmp_path: Path) -> None:
    broken = crossed()
    with torch.no_grad():
        broken.head.direct.bias.fill_(float("nan"))
    with pytest.raises(BadModel, match="isn't finite"):
        export_teacher(broken, tmp_path / "teacher", 1)
    assert not list(tmp_path.iterdir())


def test_what_is_no_teacher_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "teacher", str(tmp_path / "missing"), "--out", str(tmp_path / "teacher")]) == 2
    shown = capsys.readouterr().err
    assert "no such folder" in shown
    assert shown.count("\n") == 1
