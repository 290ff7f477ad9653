"""When a training is due: each firing of the schedule once, labels and drift after a rest."""

import pytest

from streams.contracts.models import DriftDetected
from streams.errors import Misuse
from streams.settings import Settings
from tests.unit.building import DAY, HOUR, MINUTE, T0
from training.due import Seen, check_schedule, due, next_ms

MIDNIGHT = T0 - T0 % DAY
DRIFT = DriftDetected(model="ranker", detector="adwin", signal="click loss", at_ms=T0, evidence={"before": 0.1})


def asked(seen: Seen, now_ms: int, first: bool = False, **settings: object) -> str | None:
    return due(Settings(**{"trainer_on_drift": False} | settings), seen, now_ms, first)  # type: ignore[arg-type]


def test_a_firing_starts_one_run() -> None:
    cron = {"trainer_cron": "0 3 * * *"}
    before, at_three = Seen(MIDNIGHT), MIDNIGHT + 3 * HOUR
    assert asked(before, at_three - 1, **cron) is None
    assert asked(before, at_three, **cron) == "schedule 0 3 * * *"
    assert asked(Seen(at_three), at_three + MINUTE, **cron) is None
    assert asked(Seen(at_three), at_three + DAY, **cron) is not None


def test_a_firing_that_was_missed_is_made_up_for_once() -> None:
    now_ms = MIDNIGHT + 12 * HOUR
    assert asked(Seen(MIDNIGHT - 5 * DAY), now_ms, trainer_cron="0 3 * * *") is not None
    assert asked(Seen(now_ms), now_ms, trainer_cron="0 3 * * *") is None


def test_the_first_run_waits_for_a_firing() -> None:
    assert asked(Seen(MIDNIGHT + 4 * HOUR), MIDNIGHT + 5 * HOUR, first=True, trainer_cron="0 3 * * *") is None


def test_labels_start_a_run_when_there_are_enough() -> None:
    assert asked(Seen(0, labels=99), T0, trainer_labels=100) is None
    assert asked(Seen(0, labels=100), T0, trainer_labels=100) == "100 new outcomes"
    assert asked(Seen(0, labels=100), T0) is None


def test_a_drift_starts_a_run_if_that_is_wanted() -> None:
    assert asked(Seen(0, drift=DRIFT), T0, trainer_on_drift=True) == "drift of click loss, found by adwin"
    assert asked(Seen(0, drift=DRIFT), T0) is None
    assert asked(Seen(0), T0, trainer_on_drift=True) is None


def test_labels_and_drift_let_the_trainer_rest_after_a_run_and_the_schedule_does_not() -> None:
    seen, soon = Seen(T0, labels=100, drift=DRIFT), T0 + HOUR - 1
    given = {"trainer_labels": 1, "trainer_on_drift": True, "trainer_rest_s": 3_600}
    assert asked(seen, soon, **given) is None
    assert asked(seen, soon, first=True, **given) is not None
    assert asked(seen, soon + 1, **given) is not None
    assert asked(seen, soon, trainer_cron="* * * * *", **given) == "schedule * * * * *"


def test_times_are_utc() -> None:
    assert next_ms("30 6 * * 1", 0) == 4 * DAY + 6 * HOUR + 30 * MINUTE


def test_what_is_no_schedule_is_one_sentence() -> None:
    for cron in ("61 * * * *", "in the dead of night"):
        with pytest.raises(Misuse, match=r"trainer_cron: .* is no cron expression: write it as 0 3 \* \* \*"):
            check_schedule(Settings(trainer_cron=cron))
    with pytest.raises(Misuse, match="nothing would start a training"):
        check_schedule(Settings(trainer_on_drift=False))
    with pytest.raises(ValueError, match="takes five fields"):
        Settings(trainer_cron="0 3 * *")
