"""The whole circle, unattended: events, a drift, the lake, a fine-tune, better or not, and what workers serve by then.

A trainer process runs as an operator would run it; nothing is asked of it but by Kafka. The first one is killed in the
middle of its training, and the next one goes on.
"""

import json
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import redis
from confluent_kafka import Producer

from streams.contracts.models import DriftDetected, ModelEvent, encode
from streams.contracts.topics import EVENTS, ITEMS, MODELS, RECOMMENDATIONS
from streams.lake.files import LakeFiles
from streams.lake.read import rows
from streams.rollout.lease import LEASE
from streams.settings import Settings
from tests.integration.desks import Office, office
from tests.integration.processes import Reader, await_applied, environment, worker
from tests.support import damaged, wait_until, write_version
from tests.training.conftest import DAY_MS, FIRST_MS, WEEKS, Event, shop
from tests.training.conftest import ITEMS as ITEM_COUNT
from tests.training.test_train_command import QUICK

__all__ = ["office"]
STEP_S = 600.0
"""A training of this size takes a few seconds, its export ten; beside others on the machine many times that."""


def produce(settings: Settings, topic: str, values: list[dict[str, Any]], key: str) -> None:
    """Publish with Kafka's times as the events', in order."""
    producer = Producer({**settings.kafka_client_config(), "partitioner": "murmur2_random", "log_level": 0})
    for value in values:
        name = settings.topic(topic)
        producer.produce(name, json.dumps(value), value[key], timestamp=value.get("at_ms", 0))
    assert producer.flush(20) == 0


def weeks_of(first: int, last: int) -> list[Event]:
    """Return the shop's purchases of some of its weeks."""
    return [event for event in shop() if first <= (event["at_ms"] - FIRST_MS) // (7 * DAY_MS) < last]


def spoiled(events: list[Event], before: list[Event]) -> list[Event]:
    """Return the events as if everybody had bought what is rarest, and nothing that they ever bought before."""
    own: dict[str, set[str]] = defaultdict(set)
    for event in before:
        own[event["user_id"]].add(event["item_id"])
    counts = Counter(event["item_id"] for event in before)
    rarest = sorted((f"i{n}" for n in range(ITEM_COUNT)), key=lambda item: (counts[item], item))
    drawn = np.random.default_rng(0)
    others = {user: [item for item in rarest if item not in items][:20] for user, items in own.items()}
    return [event | {"item_id": str(drawn.choice(others[event["user_id"]]))} for event in events]


def tell_drift(settings: Settings) -> None:
    drift = DriftDetected(
        model="ranker", detector="adwin", signal="click loss", at_ms=int(time.time() * 1000), evidence={"before": 0.1}
    )
    producer = Producer({**settings.kafka_client_config(), "log_level": 0})
    producer.produce(settings.topic(MODELS), msgspec.json.encode(drift), "ranker/drift")
    assert producer.flush(20) == 0


@contextmanager
def trainer(settings: Settings, folder: Path, end: signal.Signals = signal.SIGTERM) -> Iterator[Path]:
    """Run `streamrank trainer`, until the block ends, then by that signal; yield its log."""
    path = folder / "trainer.log"
    with path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "trainer"], env=environment(settings), stdout=log, stderr=log
        )
    try:
        yield path
        assert process.poll() is None, path.read_text()
    finally:
        process.send_signal(end)
        assert process.wait(STEP_S) == (0 if end == signal.SIGTERM else -end), path.read_text()


def end_lease(settings: Settings) -> None:
    """Let the lease of a trainer that was killed end now."""
    server = redis.Redis.from_url(settings.redis_url.get_secret_value())
    assert server.delete(f"{settings.key_prefix}model:{{ranker}}{LEASE}") == 1
    server.close()


@pytest.fixture
def shopfront(office: Office, tmp_path: Path) -> Settings:
    """Settings of a trainer that promotes; the champion that it meets ranks the wrong way round."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("".join(f"{pair.replace('=', ' = ')}\n" for pair in QUICK))
    wrong = damaged(lambda weights: -np.abs(weights))
    office.publish(write_version(tmp_path / "wrong" / "ranker", 2, seed=1, model=wrong))
    office.promote(2)
    return office.settings.model_copy(
        update={
            "lake": str(tmp_path / "lake"), "trainer_folder": tmp_path / "work", "trainer_recipe": recipe,
            "trainer_archive_every_s": 0.2, "trainer_rest_s": 0.0, "trainer_window_days": 14.0,
            "trainer_newest_days": 14.0, "trainer_publish": "champion", "lake_days": 36_500,
            "trainer_replay": 0.0,  # a replay would save it: the challenger of the spoiled window was even better
        }
    )  # fmt: skip


def history(office: Office) -> list[ModelEvent]:
    return office.do(lambda desk: desk.pointer.history())


def followed(office: Office) -> set[int]:
    """Return the champions that workers serve."""
    return {beat.champion for beat in office.do(lambda desk: desk.pointer.heartbeats()).values()}


def await_lake(settings: Settings, purchases: int) -> None:
    def there() -> bool:
        found = rows(LakeFiles(str(settings.lake)), EVENTS, columns=["type"])
        return sum(row.fields["type"] == "purchase" for row in found) == purchases

    wait_until(there, STEP_S, "the lake")


@pytest.mark.timeout(2_400)
def test_the_circle_turns_by_itself_and_a_spoiled_window_stops_it(
    shopfront: Settings, office: Office, tmp_path: Path
) -> None:
    settings = shopfront
    items = [
        {"item_id": f"i{n}", "title": f"item {n}", "category": [f"c{n % 3}"], "price": 1.0} for n in range(ITEM_COUNT)
    ]
    early, window, newest = (weeks_of(*weeks) for weeks in ((0, WEEKS - 4), (WEEKS - 4, WEEKS - 2), (WEEKS - 2, WEEKS)))
    with worker(settings, tmp_path) as at_work, ExitStack() as trainers:
        produce(settings, ITEMS, items, "item_id")
        produce(settings, EVENTS, early, "user_id")
        with trainer(settings, tmp_path, signal.SIGKILL):
            await_lake(settings, len(early))
            at_work.await_ready()
            await_applied(settings, len(early))
            tell_drift(settings)
            wait_until(lambda: list((tmp_path / "work" / "run" / "lists" / "fit").glob("*")), STEP_S, "an epoch")
        assert (office.lineup().champion, office.lineup().highest) == (2, 2)
        end_lease(settings)
        log = trainers.enter_context(trainer(settings, tmp_path))
        wait_until(lambda: office.lineup().champion == 3, STEP_S, "a new champion")
        assert log.read_text().count("going on with the training of before") == 1
        assert log.read_text().count("copying the window") == 1
        (promoted,) = [one for one in history(office) if (one.version, one.after) == (3, "champion")]
        assert promoted.who == "trainer"
        assert promoted.why.startswith("drift of click loss, found by adwin: the challenger is better than it: ndcg +")
        assert promoted.metrics["newest_lead"] > 0
        wait_until(lambda: followed(office) == {3}, STEP_S, "the worker to follow")
        # At the log's time: a topic whose times jump ahead has no order among its partitions.
        request = {"type": "request", "user_id": "u1", "request_id": "r1", "k": 5, "at_ms": early[-1]["at_ms"]}
        produce(settings, EVENTS, [request], "user_id")
        (slate,) = Reader(settings, RECOMMENDATIONS).until(len, 20, "a slate")
        assert slate["model"] == "ranker/3"

        produce(settings, EVENTS, [*spoiled(window, early), *newest], "user_id")
        await_lake(settings, len(early) + len(window) + len(newest))
        tell_drift(settings)
        wait_until(lambda: history(office)[-1].after == "rejected", STEP_S, "a refusal")
    last = history(office)[-1]
    assert (last.version, last.champion, last.who) == (4, 3, "trainer")
    assert last.why.startswith("not surely as good as the champion on the newest slice: ndcg -"), log.read_text()
    assert office.lineup().champion == 3
    assert not (tmp_path / "work" / "run").exists()
    told = Reader(settings, MODELS).until(lambda values: json.loads(encode(last)) in values, 20, "the refusal's event")
    assert [one["to"] for one in told if one.get("version") == 3] == ["published", "validated", "champion"]
