"""`streamrank simulate --report`: the page as a file, what it says of the call, and what it never says."""

import shlex
import sys
from html import unescape
from pathlib import Path

import pytest

from streams import cli
from tests.reports import write_log


def test_the_report_says_how_to_run_it_again_and_keeps_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMRANK_REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("STREAMRANK_KAFKA_USERNAME", "somebody")
    folder = write_log(tmp_path / "it's a <log>")
    words = [
        "simulate", str(folder), "--protocol", "holdout-last", "--k", "3", "--mask-history",
        "--report", str(tmp_path / "out.html"),
    ]  # fmt: skip
    assert cli.run(words) == 0
    source = (tmp_path / "out.html").read_text("utf-8")
    command = unescape(source.partition("<code>")[2].partition("</code>")[0])
    again = shlex.split(command)
    assert again[0] == "streamrank"
    assert sorted(again[1:]) == sorted(words)
    assert "hunter2" not in source
    assert "somebody" not in source
    assert cli.run(again[1:]) == 0
    capsys.readouterr()


def test_without_matplotlib_it_says_what_to_install_before_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.run(["simulate", str(tmp_path / "no-such-log"), "--report", str(tmp_path / "out.html")]) == 2
    assert "pip install 'streamrank[evaluate]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_log(tmp_path / "log")
    out = tmp_path / "nowhere" / "out.html"
    assert cli.run(["simulate", str(folder), "--protocol", "holdout-last", "--report", str(out)]) == 2
    assert f"{out}: cannot write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
