"""docs/compare.md: its examples run, each option has one, and its tables are complete."""

import json
import re
import shlex
from pathlib import Path

import pytest

from inference.tensors import MAX_BATCH_SIZE
from streams.cli import run
from streams.commands.comparing import compare
from streams.commands.simulating import simulate
from streams.evaluation.cost import BATCHES
from streams.evaluation.intervals import RESAMPLES
from tests.replay.weekly_shop import write_shop

TEXT = (Path(__file__).parents[2] / "docs" / "compare.md").read_text("utf-8")
EXAMPLES = re.findall(r"^streamrank compare (.*)$", TEXT, re.MULTILINE)
SETTINGS = re.findall(r"^`(\w\.toml)`.*?```toml\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the settings files that are shown, and a log where the examples look for it."""
    (tmp_path / "runs").mkdir()
    write_shop(tmp_path / "runs" / "data")
    for name, text in SETTINGS:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keys(table: str) -> set[str]:
    """Return the names in the first column of the table whose head begins with `table`."""
    rows = TEXT.split(f"| {table} |")[1].split("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


def options(command: object) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts if option.startswith("--")}  # type: ignore[attr-defined]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs_and_comes_to_what_the_text_leads_to_expect(
    example: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(example, comments=True)
    assert run(["compare", *words]) == 0
    said = capsys.readouterr().out
    # The shop has no item that could show anything but repeats, and where those are masked nothing can be lost.
    expected = "no difference" if "--mask-history" in words else f"B is {'better' if words[0] == 'b.toml' else 'worse'}"
    assert expected in said


def test_every_option_of_its_own_has_an_example() -> None:
    shown = set(re.findall(r"--[\w-]+", " ".join(EXAMPLES)))
    assert options(compare) - options(simulate) <= shown <= options(compare)


def test_its_tables_are_complete(folder: Path) -> None:
    assert run(["compare", "a.toml", "b.toml", "runs/data", "--json", "made.json"]) == 0
    made = json.loads((folder / "made.json").read_text())
    plain = {"protocol", "k", "cases", "users", "events", "left_out", "late", "seed"}
    assert set(made) == plain | keys("key")
    assert all(
        f"`{name}`" in TEXT for name in (*plain, *made["verdict"], *made["differences"]["ndcg"]) if name != "interval"
    )
    measured = set(made["a"]) & keys("row") - {"hit_rate", "map"}
    assert measured == {"ceiling", "coverage", "diversity", "novelty", "popularity_bias"}


def test_numbers_are_those_of_the_code() -> None:
    assert f"same {BATCHES * MAX_BATCH_SIZE:,} latest cases in turn, {MAX_BATCH_SIZE} at a time" in TEXT
    assert f"{RESAMPLES:,} times each" in TEXT
