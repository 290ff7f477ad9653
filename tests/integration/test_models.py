"""The life of a version on the real Triton, Valkey and Kafka: what is refused, who wins, and what a kill leaves."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import msgspec
import pytest

from inference.repository import is_ready, versions
from streams.commands.schema import json_schema
from streams.embedded.stack import Stack
from streams.errors import BadModel, StreamrankError, Unreachable
from streams.rollout import desk as desks
from streams.rollout.desk import Desk
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Heartbeat, Pointer, PointerMoved
from tests.integration.conftest import RunningStack
from tests.integration.desks import Office, office
from tests.integration.processes import Reader, environment, verb
from tests.support import wait_until, write_version

__all__ = ["office"]


def test_a_version_goes_all_the_way_and_the_folder_holds_exactly_what_serves(office: Office, tmp_path: Path) -> None:
    for version in (2, 3, 4):
        assert office.publish(write_version(tmp_path, version, seed=version)).versions[version].state == "validated"
        assert office.served() == [1], "what is only validated isn't served"
    metrics = office.lineup().versions[2].metrics
    assert metrics["ndcg"] == 0.25
    assert metrics["p50_ms"] > 0
    office.do(lambda desk: desk.shadow(2))
    assert office.served() == [1, 2]
    office.do(lambda desk: desk.canary(2, 0.1))
    office.promote(2)
    assert office.served() == [1, 2]
    office.promote(3)
    office.do(lambda desk: desk.canary(4, 0.5))
    assert office.served() == [2, 3, 4]
    assert versions(office.folder.shelf) == [1]
    assert all(is_ready(office.address, "ranker", version) for version in (2, 3, 4))
    assert not is_ready(office.address, "ranker", 1)
    office.do(lambda desk: desk.roll_back(4))
    office.do(lambda desk: desk.roll_back(None))
    assert office.served() == [2]
    assert {v: known.state for v, known in office.lineup().versions.items()} == {
        1: "retired",
        2: "champion",
        3: "rolled back",
        4: "rolled back",
    }


def test_every_change_is_an_event_that_the_schema_accepts(office: Office, tmp_path: Path) -> None:
    office.publish(write_version(tmp_path, 2, seed=2))
    office.promote(2)
    told = Reader(office.settings, "models").until(lambda values: len(values) >= 4, 20, "four events")
    assert told == office.do(lambda desk: _history(desk.pointer))
    assert [(e["version"], e["from"], e["to"]) for e in told] == [
        (2, None, "published"),
        (2, "published", "validated"),
        (1, "champion", "previous"),
        (2, "validated", "champion"),
    ]
    assert {(e["model"], e["who"], e["why"]) for e in told} == {("ranker", "ann", "a test")}
    assert len({e["manifest_sha256"] for e in told if e["version"] == 2}) == 1
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema["properties"]["models"] | {"$defs": schema["$defs"]})
    for event in told:
        validator.validate(event)


async def _history(pointer: Pointer) -> list[dict[str, object]]:
    return [msgspec.to_builtins(event) for event in await pointer.history()]


def test_a_swap_does_not_wait_for_kafka_and_what_it_was_not_told_it_is_told_later(
    office: Office, tmp_path: Path
) -> None:
    office.publish(write_version(tmp_path, 2, seed=2))
    office.do(lambda desk: desk.promote(2), kafka_bootstrap="127.0.0.1:1")
    assert office.lineup().champion == 2
    reader = Reader(office.settings, "models")
    assert len(reader.until(lambda values: len(values) == 2, 20, "what was told before")) == 2
    office.do(lambda desk: desk.roll_back(None))
    told = reader.until(lambda values: len(values) >= 6, 20, "all six events")
    assert [event["revision"] for event in told] == [1, 2, 3, 3, 4, 4]


def test_of_two_promotions_at_once_one_wins(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (2, 3):
        office.publish(write_version(tmp_path, version, seed=version))
    both_have_read = threading.Barrier(2)
    plain, met = Pointer.read, threading.local()

    async def read(pointer: Pointer) -> Lineup | None:
        lineup = await plain(pointer)
        if not getattr(met, "done", False):
            met.done = True
            both_have_read.wait(30)
        return lineup

    monkeypatch.setattr(Pointer, "read", read)
    failures: dict[int, StreamrankError] = {}

    def promote(version: int) -> None:
        try:
            office.do(lambda desk: desk.promote(version), who=f"operator {version}")
        except StreamrankError as exc:
            failures[version] = exc

    operators = [threading.Thread(target=promote, args=(version,)) for version in (2, 3)]
    for operator in operators:
        operator.start()
    for operator in operators:
        operator.join(60)
    monkeypatch.undo()
    ((loser, failure),) = failures.items()
    assert isinstance(failure, PointerMoved)
    lineup = office.lineup()
    assert lineup.champion == {2: 3, 3: 2}[loser]
    assert lineup.versions[loser].state == "validated"
    assert office.served() == sorted(lineup.loaded) == [1, lineup.champion]


def test_a_version_retires_only_when_every_worker_follows(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "FOLLOW_S", 0.2)
    for version in (2, 3):
        office.publish(write_version(tmp_path, version, seed=version))
    office.promote(2)

    async def promote_beside_a_worker_that_hangs(desk: Desk) -> None:
        await desk.pointer.follow("hangs", Heartbeat(1, 1))
        await desk.promote(3)

    office.do(promote_beside_a_worker_that_hangs)
    assert office.lineup().loaded == {2, 3}
    assert office.served() == [1, 2, 3]
    office.do(lambda desk: desk.pointer.leave("hangs"))
    office.do(lambda desk: desk.prune(5))
    assert office.served() == [2, 3]


def test_triton_killed_in_the_middle_of_a_load_starts_again_and_the_version_may_be_published_again(
    office: Office, running: tuple[RunningStack, Stack], tmp_path: Path
) -> None:
    _, embedded = running
    place = write_version(tmp_path, 2, seed=2)
    failures: list[StreamrankError] = []

    def publish() -> None:
        try:
            office.publish(place)
        except StreamrankError as exc:
            failures.append(exc)

    killed = embedded.pids["triton"]
    publisher = threading.Thread(target=publish)
    publisher.start()
    wait_until(lambda: office.served() == [1, 2], what="the version among the served ones")
    os.kill(killed, signal.SIGKILL)
    publisher.join(60)
    (failure,) = failures
    assert isinstance(failure, Unreachable), failure
    wait_until(lambda: embedded.pids.get("triton") not in (None, killed), 60, "another Triton")
    wait_until(lambda: is_ready(office.address, "ranker", 1), 60, "the champion")
    lineup = office.lineup()
    assert (lineup.champion, lineup.versions[2].state) == (1, "published")
    assert office.publish(place).versions[2].state == "validated"


def test_a_publisher_killed_at_work_leaves_what_the_next_command_clears_away(office: Office, tmp_path: Path) -> None:
    place = write_version(tmp_path, 2, seed=2)
    env = environment(office.settings)
    command = [sys.executable, "-m", "streams.cli", "models", "publish", str(place), "--version", "2"]
    publisher = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    wait_until(lambda: office.served() == [1, 2], 30, "the version among the served ones")
    publisher.kill()
    publisher.wait()
    assert office.lineup().champion == 1
    assert verb("models", "prune", env=env).returncode == 0
    assert office.served() == [1]
    assert office.publish(place).versions[2].state == "validated"


def test_a_promotion_whose_files_are_gone_is_refused_and_nothing_moves(office: Office, tmp_path: Path) -> None:
    office.publish(write_version(tmp_path, 2, seed=2))
    shutil.rmtree(office.folder.shelf / "2")
    with pytest.raises(BadModel, match="publish it anew"):
        office.promote(2)
    assert office.lineup().champion == 1


def test_the_command_line_tells_it_all(office: Office, tmp_path: Path) -> None:
    env, report = environment(office.settings), tmp_path / "report.json"
    first = write_version(tmp_path, 7, seed=7)

    def run(*words: str) -> tuple[int, str, dict[str, object]]:
        with contextlib.suppress(FileNotFoundError):
            report.unlink()
        ended = verb("models", *words, "--json", str(report), env=env)
        return ended.returncode, ended.stderr, json.loads(report.read_text()) if report.exists() else {}

    assert run("verify", str(first))[0] == 0
    code, _, lineup = run("publish", str(first), "--who", "ann", "--why", "nightly")
    assert (code, lineup["champion"], lineup["highest"]) == (0, 1, 2)
    assert run("verify", "2")[2]["served"] is False
    code, _, lineup = run("promote", "2")
    assert (code, lineup["champion"], lineup["previous"]) == (0, 2, 1)
    assert run("verify", "2")[2]["served"] is True
    history = run("show", "2")[2]["history"]
    assert [(e["to"], e["who"], e["why"]) for e in history[:2]] == [
        ("published", "ann", "nightly"),
        ("validated", "ann", "nightly"),
    ]
    assert run("rollback")[2]["champion"] == 1
    assert run("prune", "--keep", "0")[2]["versions"].keys() == {"1"}
    for words, expected, said in (
        (("rollback",), 2, "there is no previous champion"),
        (("promote", "9"), 2, "ranker/9 was never published"),
        (("show", "9"), 2, "ranker/9 was never published"),
        (("publish", str(tmp_path / "nowhere")), 2, "there is no such folder"),
        (("canary", "1", "--share", "2"), 2, "ranker/1 is champion"),
        (("verify", "9"), 1, "9: it has no manifest.json"),
    ):
        code, stderr, _ = run(*words)
        assert (code, stderr.count("\n")) == (expected, 1), stderr
        assert said in stderr
    without = {name: value for name, value in env.items() if name != "STREAMRANK_TRITON_REPOSITORY"}
    ended = verb("models", "list", env=without)
    assert (ended.returncode, "triton_repository" in ended.stderr) == (2, True)
