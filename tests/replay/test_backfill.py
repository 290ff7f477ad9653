"""After a backfill a worker goes on as if it had applied the log itself, and nothing counts twice."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from streams.backfill.namespace import WriterAlive
from streams.backfill.run import Backfill, Filled
from streams.contracts.events import Absorb, Alias, Purchase, Tick, decode_event
from streams.contracts.partition import partition_of
from streams.features.user import EMPTY, UserState, fold
from streams.kafka_admin import TopicsMissing
from tests.backfilled import contents, write_log
from tests.deployment import Deployment
from tests.integration.processes import catalogue, environment, verb
from tests.logs import START_MS, shop_log
from tests.replay.test_kill import fault_free, processed, stored_states
from tests.support import wait_until


def held(deployment: Deployment) -> Any:
    async def read() -> Any:
        store = deployment.store()
        try:
            return await contents(store, deployment.settings)
        finally:
            await store.close()

    return asyncio.run(read())


def lake(deployment: Deployment, path: Path, *, keep: Any = lambda event: True) -> Path:
    """Write what lies in `events` as a lake file: partition after partition, with the place of each line."""
    lines = []
    for record in deployment.read("events"):
        assert record.value is not None
        if keep(decode_event(record.value)):
            place = {"_partition": record.partition, "_offset": record.offset}
            lines.append(msgspec.json.encode(msgspec.json.decode(record.value) | place))
    return write_log(path, lines)


def wipe(deployment: Deployment) -> None:
    with redis.Redis.from_url(deployment.settings.redis_url.get_secret_value()) as client:
        client.delete(*client.keys(deployment.settings.key_prefix + "*"))


def backfill(deployment: Deployment, log: Path, items: Path | None = None) -> Filled:
    return Backfill(deployment.settings, log, items, processes=2).run()


def await_all(deployment: Deployment) -> None:
    """Return when every record of `events` is applied, those that a worker itself publishes among them."""
    wait_until(lambda: processed(deployment) >= deployment.count("events"), 60, "the whole log")


def is_no_tick(event: object) -> bool:
    return not isinstance(event, Tick)


@pytest.mark.timeout(240)
def test_a_worker_reads_on_where_a_lake_file_ends(deployment: Deployment, tmp_path: Path) -> None:
    log = list(shop_log(9_000, seed=11))
    worker = deployment.start_worker()
    deployment.produce(log[:6_000])
    await_all(deployment)
    deployment.kill(worker)
    before = held(deployment)
    path = lake(deployment, tmp_path / "lake.jsonl", keep=is_no_tick)
    assert any(b'"type":"absorb"' in line for line in path.read_bytes().splitlines())
    wipe(deployment)

    filled = backfill(deployment, path)
    assert (filled.rejected, filled.resumed) == (0, 0)
    after = held(deployment)
    for what in ("states", "counters"):
        assert after[what] == before[what]
    assert after["stats"] | {"ticks": 0} == before["stats"] | {"ticks": 0}

    deployment.produce(log[6_000:])
    deployment.start_worker()
    read_again = before["stats"]["ticks"]  # the file has no ticks: those at the end of a partition are read once more
    wait_until(lambda: processed(deployment) >= deployment.count("events") - read_again, 60, "the rest of the log")
    expected, stats = fault_free(deployment)
    wait_until(lambda: asyncio.run(stored_states(deployment)) == expected, 20, "the states of the whole log")
    found = held(deployment)["stats"]
    assert (found["applied"], found["duplicates"]) == (stats["applied"], stats["duplicates"])


@pytest.mark.timeout(120)
def test_a_lake_that_lacks_a_partition_leaves_it_to_the_worker(deployment: Deployment, tmp_path: Path) -> None:
    worker = deployment.start_worker()
    deployment.produce(shop_log(800, seed=12))
    await_all(deployment)
    deployment.kill(worker)
    whole = lake(deployment, tmp_path / "whole.jsonl").read_bytes().splitlines()
    path = write_log(tmp_path / "part.jsonl", (line for line in whole if json.loads(line)["_partition"]))
    wipe(deployment)
    backfill(deployment, path)
    deployment.start_worker()
    await_all(deployment)
    assert asyncio.run(stored_states(deployment)) == fault_free(deployment)[0]


@pytest.mark.timeout(120)
def test_after_a_log_without_offsets_a_worker_reads_its_topics_from_the_start(
    deployment: Deployment, tmp_path: Path
) -> None:
    log = [pair for pair in shop_log(3_000, seed=13) if b'"type":"alias"' not in pair[1]]
    past, present = log[:2_000], log[2_000:]
    deployment.produce(present)
    deployment.produce([(b"i2", b'{"item_id":"i2","title":"new"}')], "items")
    items = write_log(tmp_path / "items.jsonl", (b'{"item_id":"i%d","title":"old"}' % n for n in range(4)))
    backfill(deployment, write_log(tmp_path / "past.jsonl", (value for _, value in past)), items)
    deployment.start_worker()
    wait_until(lambda: processed(deployment) >= len(past) + deployment.count("events"), 60, "past and present")
    assert asyncio.run(stored_states(deployment)) == folded(value for _, value in log)
    wait_until(lambda: catalogue(deployment.settings)["i2"]["title"] == "new", 20, "the item of the topic")
    assert {name: item["title"] for name, item in catalogue(deployment.settings).items() if name != "i2"} == {
        f"i{n}": "old" for n in (0, 1, 3)
    }


def folded(lines: Iterable[bytes]) -> dict[str, UserState]:
    states: dict[str, UserState] = defaultdict(lambda: EMPTY)
    for line in lines:
        event = decode_event(line)
        assert not isinstance(event, Tick)
        assert event.at_ms
        states[event.user_id] = fold(states[event.user_id], event, event.at_ms)
    return {user: state for user, state in states.items() if state.last_ms}


@pytest.mark.timeout(120)
def test_histories_that_are_on_their_way_when_a_lake_file_ends_arrive(deployment: Deployment, tmp_path: Path) -> None:
    """The file ends before the absorbs that the first worker sent, so the next worker reads them."""
    users = [f"{who}{n}" for n in range(12) for who in ("anonymous-", "login-")]
    bought = [Purchase(user_id=user, item_id="i", order_id=user, at_ms=START_MS) for user in users]
    known = [Alias(user_id=f"anonymous-{n}", login=f"login-{n}", at_ms=START_MS + 1) for n in range(12)]
    deployment.produce((event.user_id.encode(), msgspec.json.encode(event)) for event in (*bought, *known))
    worker = deployment.start_worker()
    wait_until(lambda: processed(deployment) >= 48, 30, "all histories to be moved")
    deployment.kill(worker)
    before = asyncio.run(stored_states(deployment))
    assert {before[f"login-{n}"].baskets for n in range(12)} == {2}
    path = lake(deployment, tmp_path / "lake.jsonl", keep=lambda event: not isinstance(event, Absorb | Tick))
    wipe(deployment)
    assert backfill(deployment, path).events == 36
    deployment.start_worker()
    wait_until(lambda: held(deployment)["stats"]["applied"] == 48, 30, "the absorbs of the topic")
    assert asyncio.run(stored_states(deployment)) == before


def test_a_living_worker_is_refused_and_an_unfinished_backfill_is_refused_by_it(
    deployment: Deployment, tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log.jsonl", (value for _, value in shop_log(50)))
    worker = deployment.start_worker()
    with pytest.raises(WriterAlive, match="has a worker alive: stop it, then run this again"):
        backfill(deployment, log)
    deployment.kill(worker)
    backfill(deployment, log)
    with redis.Redis.from_url(deployment.settings.redis_url.get_secret_value()) as client:
        client.hset(deployment.settings.key_prefix + "meta", "backfill", "log.jsonl, 5 bytes")
    ended = verb("worker", env=environment(deployment.settings))
    assert ended.returncode == 1
    assert "holds an unfinished backfill of log.jsonl, 5 bytes: run `streamrank backfill` on that log" in ended.stderr


def test_offsets_without_their_topic_are_refused(deployment: Deployment, tmp_path: Path) -> None:
    lake_line = b'{"type":"view","user_id":"u0","item_id":"i","at_ms":%d,"_partition":%d,"_offset":3}'
    home = partition_of(b"u0", deployment.settings.partitions)
    log = write_log(tmp_path / "lake.jsonl", [lake_line % (START_MS, home)])
    nowhere = deployment.settings.model_copy(update={"topic_prefix": "nobody-made-"})
    with pytest.raises(TopicsMissing, match="topic nobody-made-events is missing: run `streamrank topics create`"):
        Backfill(nowhere, log, None, processes=1).run()
