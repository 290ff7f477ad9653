"""What a round of the trainer brings into the lake, and what it finds due: labels and drifts count once."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams.contracts.models import DriftDetected
from streams.contracts.topics import EVENTS, FEEDBACK, MODELS
from streams.rollout import lineup as steps
from streams.rollout.held import Held
from streams.rollout.lease import Done, LeaseLost
from streams.rollout.lineup import Lineup
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.connection import connect
from tests.integration.conftest import RunningStack
from tests.integration.processes import clicks, own_settings, publish
from tests.unit.lake.memory import lake, places
from training.service import Service, Stopped
from training.trainer import Result

FIRST = steps.first("ranker", 1)


class Noting(Service):
    """A service whose runs are only noted, and done at once."""

    def _run(self, because: str, heard: dict[str, int]) -> Result:
        done = Done(run_ms=self._clock(), labelled=self._archived(), heard=heard)
        asyncio.run(self._note(done))
        return Result(because, 2, "shadow", None, {})


@pytest.fixture
def settings(stack: RunningStack, tmp_path: Path) -> Settings:
    return own_settings(
        stack, lake=str(tmp_path / "lake"), trainer_folder=tmp_path / "work", triton_repository=stack.repository,
        trainer_rest_s=0.0, trainer_labels=3, key_prefix=f"rounds-{tmp_path.name}-"[:64],
    )  # fmt: skip


@pytest.fixture
def held(settings: Settings) -> Iterator[Held]:
    with Held(settings) as held:
        yield held


def service(settings: Settings, held: Held, stop: threading.Event | None = None) -> Noting:
    return Noting(settings, held, stop or threading.Event(), lambda: 1_800_000_000_000, lambda what, count: None)


def because(one: Service) -> str | None:
    result = one.round(by_hand=False).result
    return None if result is None else result.because


def feedback(outcomes: int) -> tuple[bytes, bytes]:
    items: list[dict[str, Any]] = [{"item_id": "a"}, *({"item_id": "b", "outcome": "click"} for _ in range(outcomes))]
    return b"u", msgspec.json.encode({"type": "feedback", "user_id": "u", "items": items})


async def moved(settings: Settings, before: Lineup, after: Lineup) -> None:
    redis = connect(settings)
    try:
        await Pointer(redis, settings.key_prefix, settings.triton_model).move(before, after, [])
    finally:
        await redis.close()


def test_rounds_fill_the_lake_and_go_on_after_a_restart(settings: Settings, held: Held, tmp_path: Path) -> None:
    publish(settings, EVENTS, clicks(20))
    first = service(settings, held).round(by_hand=False)
    assert (first.archived[EVENTS].records, first.result) == (20, None)
    publish(settings, EVENTS, clicks(5))
    assert service(settings, held).round(by_hand=False).archived[EVENTS].records == 5
    assert len(places(lake(tmp_path / "lake"))) == 25
    assert service(settings, held).round(by_hand=True).result is not None


def test_labels_count_since_the_last_run(settings: Settings, held: Held) -> None:
    publish(settings, FEEDBACK, [feedback(2)])
    assert because(service(settings, held)) is None
    publish(settings, FEEDBACK, [feedback(1)])
    assert because(service(settings, held)) == "3 new outcomes"
    publish(settings, FEEDBACK, [feedback(2)])
    assert because(service(settings, held)) is None


def test_a_drift_of_this_model_starts_one_run(settings: Settings, held: Held) -> None:
    drift = DriftDetected(model="ranker", detector="adwin", signal="loss", at_ms=1, evidence={})
    other = msgspec.structs.replace(drift, model="another")
    publish(settings, MODELS, [(b"another/drift", msgspec.json.encode(other)), (b"x", b"no json"), (b"x", None)])
    assert because(service(settings, held)) is None
    publish(settings, MODELS, [(b"ranker/drift", msgspec.json.encode(drift))])
    assert because(service(settings, held)) == "drift of loss, found by adwin"
    assert because(service(settings, held)) is None


def test_no_run_begins_while_a_canary_is_on_trial(settings: Settings, held: Held) -> None:
    settings = settings.model_copy(update={"trainer_publish": "canary"})
    on_trial = steps.canaried(steps.judged(steps.published(FIRST, 2, None), 2, None, None, {}), 2, 0.1)
    asyncio.run(moved(settings, FIRST, on_trial))
    publish(settings, FEEDBACK, [feedback(3)])
    assert because(service(settings, held)) is None
    asyncio.run(moved(settings, on_trial, steps.rolled_back(on_trial, 2)))
    assert because(service(settings, held)) == "3 new outcomes"


def test_who_is_to_stop_or_has_no_lease_begins_nothing(settings: Settings, held: Held, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    publish(settings, EVENTS, clicks(5))
    with pytest.raises(Stopped):
        service(settings, held, stop).round(by_hand=True)
    with pytest.raises(LeaseLost):
        service(settings, Held(settings)).round(by_hand=True)
    assert not (tmp_path / "lake").exists()
