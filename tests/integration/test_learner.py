"""The learner on the real stack: what it learned is in other users' slates, and a SIGKILL loses and repeats nothing."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from streams.contracts.models import DriftDetected, decode_said
from streams.contracts.slates import Feedback, encode
from streams.contracts.topics import FEEDBACK
from streams.errors import StoreMismatch
from streams.online.learner import Learner
from streams.online.saved import Saved
from streams.online.snapshot import decode
from streams.online.versions import Versions
from streams.settings import Settings
from streams.store.connection import connect
from tests.integration.conftest import RunningStack
from tests.integration.processes import (
    Reader,
    WorkerProcess,
    await_applied,
    clicks,
    environment,
    own_settings,
    publish,
    request,
    verb,
    worker,
)
from tests.support import wait_until
from tests.unit.online.records import feedback, shown, stream


@contextmanager
def learner(settings: Settings, folder: Path, *options: str) -> Iterator[WorkerProcess]:
    """Run a learner process; it is ended with the block."""
    log = folder / f"learner-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "streams.cli", "learner", *options]
        process = subprocess.Popen(command, env=environment(settings), stdout=output, stderr=subprocess.STDOUT)
    try:
        yield WorkerProcess(process, log, 0)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def saved(settings: Settings) -> Saved | None:
    async def ask() -> bytes | None:
        redis = connect(settings)
        try:
            return await Versions(redis, settings.key_prefix, settings.triton_model).saved()
        finally:
            await redis.close()

    raw = asyncio.run(ask())
    return None if raw is None else decode(Saved, raw)


def count(settings: Settings, outcome: str = "learned") -> int:
    known = saved(settings)
    return 0 if known is None else known.counts[outcome]


def tell(settings: Settings, records: list[Feedback]) -> None:
    """Publish records of user `u`, who has a partition of his own."""
    publish(settings, FEEDBACK, [(one.user_id.encode(), encode(one)) for one in records])


def version(settings: Settings) -> int:
    known = saved(settings)
    return 0 if known is None else known.version


def asked(settings: Settings, slates: Reader, good: Callable[[Any], object]) -> Any:
    """Ask as another user, again after each answer, until one is good; return it."""
    while True:
        seen = len(slates.values)
        publish(settings, "events", [request("other", f"r-{seen}")])
        slate = slates.until(lambda got, seen=seen: len(got) > seen, 30, "an answer")[-1]
        if good(slate):
            return slate


def same_twice() -> Callable[[Any], bool]:
    """Return what is true of a slate with the items of the one before: all that was counted is known."""
    names: list[list[str]] = []

    def good(slate: Any) -> bool:
        names.append([item["item_id"] for item in slate["items"]])
        return bool(names[-1]) and names[-1] == (names[-2] if len(names) > 1 else [])

    return good


def test_a_learner_killed_again_and_again_learned_each_record_once_and_the_same_as_one_that_wasnt(
    stack: RunningStack, tmp_path: Path
) -> None:
    settings = own_settings(stack)
    records = list(stream(1_200))
    kills = 0
    for first in range(0, 1_200, 300):
        tell(settings, records[first : first + 300])
        before = count(settings)
        with learner(settings, tmp_path) as process:
            wait_until(lambda seen=before: count(settings) > seen or process.ended(), 60, "a version")
            process.kill()  # somewhere between a record and a version
            kills += 1
    tell(settings, records[300:310])  # a repeat, as after a crash of the worker
    with learner(settings, tmp_path) as process:
        wait_until(lambda: count(settings) + count(settings, "repeated") == 1_210, 60, "all records")
        process.process.terminate()
        assert process.process.wait(20) == 0
    known = saved(settings)
    assert known is not None
    assert known.counts == {"learned": 1_200, "unseen": 0, "repeated": 10, "refused": 0, "lost": 0}
    whole = Learner(settings.triton_model)
    for record in records:
        whole.take(record)
    assert known.numbers == whole.saved().numbers
    assert known.signals == whole.saved().signals
    assert kills == 4


def test_clicks_on_a_new_item_bring_it_into_other_users_slates(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    slates = Reader(settings, "recommendations")
    with worker(settings, tmp_path) as serving, learner(settings, tmp_path) as learning:
        serving.await_ready()
        wait_until(lambda: learning.logged("learner ready"), 40, "the learner")
        publish(settings, "events", clicks(200))
        await_applied(settings, 200)
        before = asked(settings, slates, same_twice())
        assert "online" not in before
        last = before["items"][-1]
        seen = [(item["item_id"], place, item["p"]["click"]) for place, item in enumerate(before["items"])]
        tell(settings, [feedback([shown(*one, one[0] == last["item_id"]) for one in seen], n) for n in range(300)])
        wait_until(lambda: count(settings) == 300, 30, "all records learned")
        wanted = version(settings)
        after = asked(settings, slates, lambda slate: slate.get("online", 0) >= wanted)
    scores = {item["item_id"]: item["score"] for item in after["items"]}
    assert scores[last["item_id"]] > last["score"]
    assert [*scores].index(last["item_id"]) < len(before["items"]) - 1
    assert (after["served_by"], after["model"]) == ("triton", before["model"])


def test_drift_is_told_on_models(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    calm = [feedback([shown(f"i{n % 9}", n % 9, 0.3, n % 3 == 0)], n) for n in range(900)]
    wild = [feedback([shown(f"i{n % 9}", n % 9, 0.3, True)], n) for n in range(900, 1_800)]
    tell(settings, calm + wild)
    reader = Reader(settings, "models")
    with learner(settings, tmp_path):
        reader.until(lambda got: any(one["type"] == "drift" for one in got), 60, "a drift")
    found = [decode_said(json.dumps(one).encode()) for one in reader.values if one["type"] == "drift"]
    assert all(isinstance(one, DriftDetected) and one.model == settings.triton_model for one in found)
    assert {one.signal for one in found if isinstance(one, DriftDetected)} <= {"click_rate", "log_loss"}


def test_of_two_learners_one_is_told_that_it_isnt_alone(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    with learner(settings, tmp_path) as one, learner(settings, tmp_path) as other:
        for each in (one, other):
            wait_until(partial(each.logged, "learner ready"), 40, "the learner")
        tell(settings, list(stream(20)))
        wait_until(lambda: one.ended() or other.ended(), 30, "one to leave")
        gone = one if one.ended() else other
        assert gone.process.returncode == 1
        assert "run one learner a model" in gone.log.read_text().splitlines()[-1]
    assert count(settings) == 20


def test_what_is_no_feedback_is_counted_and_another_contract_is_refused(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    publish(settings, FEEDBACK, [(b"u", b"{"), (b"u", encode(next(stream(1))))])
    with learner(settings, tmp_path):
        wait_until(lambda: count(settings) == 1 and count(settings, "refused") == 1, 60, "both messages")
    asyncio.run(_spoil(settings))
    refused = verb("learner", env=environment(settings))
    assert refused.returncode == 1
    assert "of contract older" in refused.stderr
    with learner(settings, tmp_path, "--anew"):
        wait_until(lambda: _is_good(settings), 60, "what is learned anew")


async def _spoil(settings: Settings) -> None:
    redis = connect(settings)
    try:
        key = f"{settings.key_prefix}model:{{{settings.triton_model}}}:online:saved"
        await redis.ask([("SET", key, b"\x81\xa8contract\xa5older")])
    finally:
        await redis.close()


def _is_good(settings: Settings) -> bool:
    try:
        known = saved(settings)
    except StoreMismatch:
        return False
    return known is not None and known.counts["learned"] == 1 and known.version > 1


def test_the_process_needs_a_running_kafka(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("STREAMRANK_")}
    refused = verb("learner", env=env | {"STREAMRANK_KAFKA_BOOTSTRAP": "127.0.0.1:1"})
    assert refused.returncode == 1
    assert refused.stderr.startswith("streamrank: Kafka at 127.0.0.1:1 does not answer")
