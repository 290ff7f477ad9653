"""Each example of docs/replay.md is one that the command takes, and each option has one."""

import re
import shlex
from pathlib import Path

import pytest

from streams.cli import run
from streams.commands.replaying import replay
from streams.replay.producer import DELIVERY_TIMEOUT_S, QUEUE_KBYTES, QUEUE_MESSAGES
from streams.replay.times import ROUND_IDS
from streams.replay.verify import HEADER

TEXT = (Path(__file__).parents[3] / "docs" / "replay.md").read_text("utf-8")
EXAMPLES = re.findall(r"^streamrank replay (.*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_fits_together(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert run(["replay", *shlex.split(example, comments=True)]) == 2
    missing = "items" if "--items" in example else "events"
    assert capsys.readouterr().err.startswith(f"streamrank: runs/data: no {missing}.jsonl in this folder")


def test_every_option_has_an_example() -> None:
    options = {option for parameter in replay.params for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"--[\w-]+", " ".join(EXAMPLES))) == options - {"--config", "--log-format"}


def test_names_and_bounds_are_those_of_the_code() -> None:
    assert f"`{HEADER}`" in TEXT
    assert all(f"`{name}`" in TEXT for name in ROUND_IDS)
    assert f"at most {QUEUE_MESSAGES:,} messages or {QUEUE_KBYTES // 1024} MB" in TEXT
    assert DELIVERY_TIMEOUT_S == 60
    assert "away for more than a minute" in TEXT
