"""What docs/offpolicy.md says can be done: its examples run, its tables are complete, its policies can be read."""

import json
import re
import shlex
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from streams.cli import run
from streams.commands.evaluate import evaluate
from streams.evaluation.offpolicy.estimators import ESTIMATORS, SWITCH_AT
from streams.evaluation.offpolicy.policies import Policy, read_policy
from streams.event_log import FEEDBACK
from tests.unit.evaluation.offpolicy.test_run import at_random, write

ROOT = Path(__file__).parents[4]
TEXT = (ROOT / "docs" / "offpolicy.md").read_text("utf-8")
EXAMPLES = re.findall(r"^streamrank evaluate (\S.*)$", TEXT.split("## Policies")[0], re.MULTILINE)
QUOTED = set(re.findall(r"`([^`\n]+)`", TEXT))
PRIORS = sorted((ROOT / "benchmarks" / "policies").glob("*.toml"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "bandit").mkdir(parents=True)
    for log in ("feedback.jsonl", f"bandit/{FEEDBACK}"):
        write(tmp_path / "runs" / log, at_random(20))
    for name in ("logged", "random"):
        line = f'policy = "{name}"'
        assert line in QUOTED
        (tmp_path / f"{name}.toml").write_text(line)
    assert run(["evaluate", *shlex.split(example, comments=True)]) == 0
    if "--json" in example:
        result = json.loads((tmp_path / "result.json").read_text())
        assert {*result, *next(iter(result["estimates"].values()))} <= QUOTED


def test_every_option_has_an_example() -> None:
    options = {option for parameter in evaluate.params for option in parameter.opts if option.startswith("--")}
    assert set(re.findall(r"--[\w-]+", " ".join(EXAMPLES))) == options


def test_every_policy_and_field_is_told() -> None:
    rows = dict(re.findall(r'^\| `"(\w+)"` \|.*\|([^|]*)\|$', TEXT, re.MULTILINE))
    assert {name: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows.items()} == {
        kind.__struct_config__.tag: {field.name for field in msgspec.structs.fields(kind)} for kind in get_args(Policy)
    }


def test_every_estimator_is_told() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|.*\|$", TEXT, re.MULTILINE)
    assert rows == list(ESTIMATORS)
    assert f"weight is above {SWITCH_AT:g}" in TEXT


@pytest.mark.parametrize("path", PRIORS, ids=lambda path: path.stem)
def test_the_policies_of_the_open_bandit_dataset_are_policies(path: Path) -> None:
    assert read_policy(path).__struct_config__.tag == "thompson"


def test_every_file_and_link_is_there() -> None:
    assert len(PRIORS) == 3
    for name in QUOTED:
        if re.fullmatch(r"(streams|tests|benchmarks)/[\w/.-]+", name):
            assert (ROOT / name).exists(), name
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
