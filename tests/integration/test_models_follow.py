"""Workers follow the pointer: each slate names the version that scored it; a rollback reaches all within a second."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from streams.contracts.models import ModelEvent
from streams.rollout.canary import is_served
from tests.integration.desks import Office, office
from tests.integration.processes import Reader, WorkerProcess, clicks, environment, publish, request, verb, worker
from tests.support import wait_until, write_version

__all__ = ["office"]

FOLLOW_MS = 1_000
USERS = [f"u{n}" for n in range(8)]


def ask(office: Office, reader: Reader, name: str) -> list[dict[str, Any]]:
    """Have every user ask once; return the slates."""
    wanted = {f"{name}-{user}" for user in USERS}
    publish(office.settings, "events", [request(user, f"{name}-{user}") for user in USERS])
    values = reader.until(lambda got: wanted <= {slate["request_id"] for slate in got}, 30, f"the slates of {name}")
    return [slate for slate in values if slate["request_id"] in wanted]


def followed_ms(workers: list[WorkerProcess], revision: int) -> list[int]:
    """Return when (ms since 1970) each worker began to serve by the revision, those that have."""
    found = [line for one in workers for line in one.logged("lineup followed") if line["revision"] == revision]
    return [round(datetime.fromisoformat(line["time"]).timestamp() * 1000) for line in found]


@pytest.mark.alone
def test_two_workers_follow_a_promotion_and_a_rollback_within_a_second(office: Office, tmp_path: Path) -> None:
    reader = Reader(office.settings, "recommendations")
    with worker(office.settings, tmp_path) as one, worker(office.settings, tmp_path) as other:
        workers = [one, other]
        for each in workers:
            each.await_ready()
        publish(office.settings, "events", clicks(40))
        assert {slate["model"] for slate in ask(office, reader, "before")} == {"ranker/1"}
        office.publish(write_version(tmp_path, 2, seed=2))
        office.promote(2)
        assert {slate["model"] for slate in ask(office, reader, "after")} == {"ranker/2"}
        lineup = office.do(lambda desk: desk.roll_back(None))
        assert {slate["model"] for slate in ask(office, reader, "back")} == {"ranker/1"}
        wait_until(lambda: len(followed_ms(workers, lineup.revision)) == 2, what="both to follow the rollback")
        moved_ms = office.do(lambda desk: _moved(desk.pointer, lineup.revision))
        assert max(followed_ms(workers, lineup.revision)) - moved_ms < FOLLOW_MS
    assert all(slate["served_by"] == "triton" for slate in reader.values)


async def _moved(pointer: Any, revision: int) -> int:
    events: list[ModelEvent] = await pointer.history()
    return next(event.at_ms for event in events if event.revision == revision)


def test_a_worker_that_starts_serves_by_the_pointer_and_leaves_no_heartbeat_when_it_stops(
    office: Office, tmp_path: Path
) -> None:
    office.publish(write_version(tmp_path, 2, seed=2))
    office.promote(2)
    reader = Reader(office.settings, "recommendations")
    with worker(office.settings, tmp_path, triton_version=77) as one:
        one.await_ready()
        publish(office.settings, "events", clicks(40))
        assert {slate["model"] for slate in ask(office, reader, "first")} == {"ranker/2"}
        beats = office.do(lambda desk: desk.pointer.heartbeats())
        assert {beat.champion for beat in beats.values()} == {2}
        one.process.terminate()
        one.process.wait(30)
        assert office.do(lambda desk: desk.pointer.heartbeats()) == {}


def test_a_shadow_is_compared_unseen_and_a_canary_serves_its_users_by_name(office: Office, tmp_path: Path) -> None:
    reader = Reader(office.settings, "recommendations")
    for version in (2, 3):
        office.publish(write_version(tmp_path, version, seed=version))
    with worker(office.settings, tmp_path) as one:
        one.await_ready()
        publish(office.settings, "events", clicks(40))
        office.do(lambda desk: desk.shadow(2))
        assert {slate["model"] for slate in ask(office, reader, "shadowed")} == {"ranker/1"}
        told: dict[str, float] = {}
        wait_until(lambda: told.update(office.do(lambda desk: desk.pointer.shadowed(2))) or told, what="the shadow")
        assert told["compared"] + told.get("dropped", 0) <= len(USERS)
        assert abs(told["kendall"]) <= told["compared"]
        assert told["latency_ms"] > 0
        report = tmp_path / "show.json"
        assert verb("models", "show", "2", "--json", str(report), env=environment(office.settings)).returncode == 0
        assert -1 <= json.loads(report.read_text())["shadow"]["spearman"] <= 1
        office.do(lambda desk: desk.canary(3, 0.5))
        served = {slate["user_id"]: slate["model"] for slate in ask(office, reader, "canary")}
        assert served == {user: f"ranker/{3 if is_served(user, 3, 0.5) else 1}" for user in USERS}
        assert set(served.values()) == {"ranker/1", "ranker/3"}
