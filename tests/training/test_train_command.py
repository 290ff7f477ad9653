"""`streamrank train`, from a log to a version folder."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import training.run
from inference.onnx_ranker import OnnxRanker
from streams.commands.training import train
from streams.errors import Misuse, StreamrankError
from tests.training.conftest import TINY, lists_of


def test_it_writes_a_version_with_its_manifest(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.run, "build", lambda log, out, **_: lists_of(log, out, *TINY))
    out, told = tmp_path / "ranker", tmp_path / "told.json"
    arguments = ["--log", log, "--out", out, "--work", tmp_path / "work", "--version", 3, "--epochs", 3, "--json", told]
    result = CliRunner().invoke(train, [str(argument) for argument in arguments])
    # The tiny shop decides nothing about quality: a refusal comes after everything is written.
    assert result.exception is None or isinstance(result.exception, StreamrankError), result.output
    manifest = json.loads((out / "3" / "manifest.json").read_text())
    assert json.loads(told.read_text()).items() >= manifest.items()
    assert manifest["model"] == OnnxRanker(out, 3).model
    assert sorted(path.name for path in (out / "3").iterdir()) == ["manifest.json", "model.onnx"]
    assert "student" in result.output


def test_a_missing_log_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(train, ["--log", str(tmp_path), "--work", str(tmp_path / "work")])
    assert isinstance(result.exception, Misuse)
    assert "\n" not in str(result.exception)
