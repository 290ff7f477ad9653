"""A canary is judged by itself: from what comes on `feedback` to a lineup without it, and to a word on `models`."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.contracts.partition import partition_of
from streams.contracts.slates import Feedback, Shown
from streams.rollout.canary import is_served
from streams.settings import Settings
from tests.integration.desks import Office, office
from tests.integration.processes import PARTITIONS, Reader, environment, publish, verb
from tests.support import wait_until, write_version
from tests.unit.building import T0

__all__ = ["office"]

SHARE = 0.5
CHAMPION_CLICKS = 0.3


def slates(count: int, canary_clicks: float, start: int = 0) -> list[tuple[bytes, bytes]]:
    """Return feedback of so many slates, each of its own user; the canary's are clicked as often as is said."""
    made, seen = [], [0, 0]
    for n in range(start, start + count):
        user = f"user {n}"
        arm = is_served(user, 2, SHARE)
        rate = canary_clicks if arm else CHAMPION_CLICKS
        clicked = int(rate * (seen[arm] + 1)) > int(rate * seen[arm])
        seen[arm] += 1
        outcome: Any = "purchase" if clicked and n % 2 else "click" if clicked else None
        shown = Shown(item_id="i", position=0, propensity=1, features=[], pairs=[], item_code=[], outcome=outcome)
        one = Feedback(
            feedback_id=f"0-{partition_of(user.encode(), PARTITIONS)}-{n}-0", slate_id=f"0-0-{n}", request_id=f"r{n}",
            user_id=user, at_ms=T0, items=[shown], seeds=[], history_ids=[], history_codes=[],
            model=f"ranker/{2 if arm else 1}",
        )  # fmt: skip
        made.append((user.encode(), msgspec.json.encode(one)))
    return made


@contextlib.contextmanager
def referee(settings: Settings, click_margin: float, *words: str) -> Iterator[None]:
    """Run `models watch`, or another verb; it is killed with the block."""
    command = [sys.executable, "-m", "streams.cli", *(words or ("models", "watch"))]
    more = {"canary_click_margin": click_margin, "canary_purchase_margin": 0.5, "canary_least_slates": 200}
    process = subprocess.Popen(command, env=environment(settings, **more))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def shown(office: Office, folder: Path) -> dict[str, Any]:
    """Return what `models show` says of the canary's trial."""
    report = folder / "show.json"
    settings = environment(office.settings, canary_least_slates=200)
    assert verb("models", "show", "2", "--json", str(report), env=settings).returncode == 0
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def on_trial(office: Office, folder: Path) -> None:
    """Publish version 2 and give it its share of the users."""
    office.publish(write_version(folder, 2, seed=2))
    office.do(lambda desk: desk.canary(2, SHARE))


@pytest.mark.parametrize(
    ("clicks", "state", "champion", "judge"),
    [(0.1, "rolled back", 1, "models watch"), (0.5, "champion", 2, "trainer")],
    ids=["worse", "better, by a trainer"],
)
def test_a_canary_is_judged_by_itself(
    office: Office, tmp_path: Path, clicks: float, state: str, champion: int, judge: str
) -> None:
    on_trial(office, tmp_path)
    models = Reader(office.settings, "models")
    places = {"lake": str(tmp_path / "lake"), "trainer_folder": tmp_path / "work", "trainer_publish": "canary"}
    with referee(office.settings.model_copy(update=places), 0.3, *judge.split()):
        wait_until(lambda: shown(office, tmp_path)["trial"], 30, "the trial to begin")
        publish(office.settings, "feedback", slates(4_000, clicks))
        told = models.until(lambda got: any(event["who"] == "canary" for event in got), 60, "the word")
    lineup = office.lineup()
    assert lineup.champion == champion
    assert lineup.versions[2].state == state
    assert lineup.versions[2].metrics["canary slates"] >= 200
    (event,) = (e for e in told if e["who"] == "canary" and e["version"] == 2)
    assert (event["from"], event["to"]) == ("canary", state)
    assert "clicks" in event["why"]
    assert event["metrics"]["clicks lift"] == pytest.approx(clicks / CHAMPION_CLICKS - 1, abs=0.1)


def test_one_that_is_killed_goes_on_and_counts_nothing_twice(office: Office, tmp_path: Path) -> None:
    on_trial(office, tmp_path)
    first, second = slates(1_000, CHAMPION_CLICKS), slates(600, CHAMPION_CLICKS, start=1_000)

    def counted() -> int:
        found = (shown(office, tmp_path)["trial"] or {}).get("metrics", {})
        return int(found.get("canary slates", 0) + found.get("champion slates", 0))

    with referee(office.settings, 0.01):
        wait_until(lambda: shown(office, tmp_path)["trial"], 30, "the trial to begin")
        publish(office.settings, "feedback", first)
        wait_until(lambda: counted() >= len(first), 30, "the first slates")
    publish(office.settings, "feedback", [*first[-100:], *second])
    with referee(office.settings, 0.01):
        wait_until(lambda: counted() >= len(first) + len(second), 30, "all slates")
    found = shown(office, tmp_path)
    assert counted() == len(first) + len(second)
    assert found["trial"]["answer"] == "running"
    assert found["state"] == "canary"
