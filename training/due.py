"""When to train: at the times of a cron expression, after so many new outcomes, or when a drift was told. Pure.

A firing that was missed, as the trainer was away, is made up for once. A run that labels or drift ask for comes at the
earliest some time after the last one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from croniter import croniter

from streams.contracts.models import DriftDetected
from streams.errors import Misuse
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Seen:
    """What decides: when the last run was (before the first, the start of the trainer), and what came since."""

    last_ms: int
    labels: int = 0
    drift: DriftDetected | None = None


def check_schedule(settings: Settings) -> None:
    """Raise `Misuse` if the cron expression is none, or nothing would ever start a training."""
    cron = settings.trainer_cron
    if cron is not None and not croniter.is_valid(cron):
        raise Misuse(f"trainer_cron: {cron!r} is no cron expression: write it as 0 3 * * *")
    if cron is None and settings.trainer_labels is None and not settings.trainer_on_drift:
        raise Misuse("trainer_cron, trainer_labels and trainer_on_drift are all off: nothing would start a training")


def due(settings: Settings, seen: Seen, now_ms: int, first: bool) -> str | None:
    """Return why to train now, None if it isn't time; `first` says that there was no run before."""
    if settings.trainer_cron is not None:
        fires = next_ms(settings.trainer_cron, seen.last_ms)
        if fires <= now_ms:
            return f"schedule {settings.trainer_cron}"
    if not first and now_ms < seen.last_ms + round(settings.trainer_rest_s * 1000):
        return None
    if settings.trainer_labels is not None and seen.labels >= settings.trainer_labels:
        return f"{seen.labels} new outcomes"
    if settings.trainer_on_drift and seen.drift is not None:
        return f"drift of {seen.drift.signal}, found by {seen.drift.detector}"
    return None


def next_ms(cron: str, after_ms: int) -> int:
    """Return when a cron expression fires next after a moment, in UTC.

    >>> next_ms("0 3 * * *", 0)
    10800000
    """
    moment: datetime = croniter(cron, datetime.fromtimestamp(after_ms / 1000, UTC)).get_next(datetime)
    return round(moment.timestamp() * 1000)
