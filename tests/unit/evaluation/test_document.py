"""What docs/simulate.md says can be done: each example runs, and its tables are complete."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from streams.cli import run
from streams.commands.simulating import simulate
from streams.evaluation.groups import LIGHT
from streams.evaluation.intervals import RESAMPLES
from streams.evaluation.log import _KINDS
from streams.evaluation.protocols import PROTOCOLS
from tests.unit.building import DAY, item, wire
from tests.unit.evaluation.files import write

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "simulate.md").read_text("utf-8")
EXAMPLES = re.findall(r"^streamrank simulate (.*)$", TEXT, re.MULTILINE)
QUOTED = set(re.findall(r"`([^`\n]+)`", TEXT))
OCTOBER_MS = 1_506_816_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two months of a shop of thirty users, with slates and sessions; the working directory is where it lies."""
    lines = []
    for n in range(600):
        user, at_ms, shown = f"u{n * 7 % 30}", OCTOBER_MS + n * DAY // 10, [f"i{(n + m) % 25}" for m in range(5)]
        lines += [wire("impression", user, at_ms, request_id=f"r{n}", items=shown)]
        lines += [wire("purchase" if n % 3 else "click", user, at_ms + 1, item_id=shown[n % 4], request_id=f"r{n}")]
    made = write(tmp_path / "runs" / "data", lines, [item(f"i{n}", category=[f"c{n % 4}"]) for n in range(25)])
    session = {"user_id": "h", "items": ["i1", "i2"], "targets": ["i3"]}
    (made / "holdout.jsonl").write_text(json.dumps(session) + "\n")
    (tmp_path / "recipe.toml").write_text("[pretraining]\nepochs = 1\n[fit]\nepochs = 1\n")
    monkeypatch.chdir(tmp_path)
    return made


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(example: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", *shlex.split(example)]) == 0
    assert "streamrank" in capsys.readouterr().out


def test_every_option_has_an_example() -> None:
    options = {option for parameter in simulate.params for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"--[\w-]+", " ".join(EXAMPLES))) == options - {"--config", "--log-format"}


def test_every_protocol_is_told_and_shown() -> None:
    assert set(re.findall(r"^\| `(\w[\w-]+)`.*\|.*\|.*\|$", TEXT, re.MULTILINE)) == set(PROTOCOLS)
    assert set(re.findall(r"--protocol ([\w-]+)", " ".join(EXAMPLES))) == set(PROTOCOLS)


def names(value: Any) -> set[str]:
    """Return all field names of a result."""
    return {*value, *(name for one in value.values() for name in names(one))} if isinstance(value, dict) else set()


def test_every_field_is_explained(folder: Path) -> None:
    assert run(["simulate", str(folder), "--fit", "--json", "result.json"]) == 0
    result = json.loads(Path("result.json").read_text())
    parameters = result["results"]["heuristic"].pop("parameters")
    sources = result["results"]["streamrank"].pop("sources")
    assert sources
    assert parameters
    assert names(result) - {"targets"} <= QUOTED
    assert {"parameters", "sources", "diversity", "auc"} <= QUOTED


def test_names_and_bounds_are_those_of_the_code() -> None:
    assert {f"`{kind}`" for kind in _KINDS.values()} <= set(re.findall(r"`\w+`", TEXT))
    assert f"{RESAMPLES:,} resamples" in TEXT
    assert f"up to {LIGHT} items" in TEXT


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()
