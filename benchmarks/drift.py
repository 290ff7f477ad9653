"""Drift detection on made logs: false alarms of a stationary one, and how soon a known change is found.

A record has a value of every signal that the learner watches, of the shapes that they have: losses are skewed, clicks
are few of ten, features are normal, skewed, or nearly always 0.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Budget, Section
from streams.online.drift import ALARMS, Watch
from streams.online.learner import SIGNALS

STATIONARY = 1_000_000
CHANGE_AT, AFTER, LOGS = 5_000, 20_000, 20
GRADUALLY = 10_000
_CHUNK = 1_000
CHANGES = (
    ("log_loss", 0.5, 0, 1_000),
    ("log_loss", 1.0, 0, 300),
    ("click_rate", 0.5, 0, 1_000),
    ("score", 0.25, 0, 3_000),
    ("log_loss", 1.0, GRADUALLY, 6_000),
    ("score", 0.5, GRADUALLY, 10_000),
)
"""A signal, its change in deviations, over how many records it comes, and within how many it should be found."""


def measure(command: str, records: int = STATIONARY) -> list[Section]:
    """Count false alarms, then time detections."""
    return [_stationary(command, records), _changes(command)]


def _stationary(command: str, records: int) -> Section:
    section = Section(f"a stationary log of {records:,} records, {len(SIGNALS)} signals, two detectors each", command)
    watch, rng, alarms = Watch("ranker", SIGNALS), np.random.default_rng(1), {"adwin": 0, "page-hinkley": 0}
    for start in range(0, records, _CHUNK):
        for n, row in enumerate(_values(rng, _CHUNK).tolist()):
            for one in watch.update(dict(zip(SIGNALS, row, strict=True)), start + n):
                alarms[one.detector] += 1
    for detector, count in alarms.items():
        note = f"ALARMS {ALARMS:g} over all signals" if detector == "adwin" else ""
        section.add(f"false alarms, {detector}", count, "", Budget("at most", 1), note)
    return section


def _changes(command: str) -> Section:
    section = Section(f"a known change after {CHANGE_AT:,} records, {LOGS} logs each", command)
    for signal, change, over, within in CHANGES:
        found = [_found_after(signal, change, over, seed) for seed in range(LOGS)]
        after = sorted(one for one, _ in found if one is not None)
        name = f"{signal} by {change:g} deviations, " + (f"over {over:,} records" if over else "abruptly")
        others = sum(other for _, other in found)
        note = f"found in {len(after)} of {LOGS}, median {after[len(after) // 2]:,}; {others} alarms of other signals"
        section.add(name + ": last found", after[-1], "records later", Budget("at most", within), note)
    return section


def _found_after(signal: str, change: float, over: int, seed: int) -> tuple[int | None, int]:
    """Return after how many records a change was found, and how many alarms other signals raised."""
    rng, watch, others = np.random.default_rng(seed), Watch("ranker", SIGNALS), 0
    column = SIGNALS.index(signal)
    deviation = float(_values(np.random.default_rng(99), 20_000)[:, column].std())
    for start in range(0, CHANGE_AT + AFTER, _CHUNK):
        values = _values(rng, _CHUNK)
        past = np.arange(start, start + _CHUNK) - CHANGE_AT
        values[:, column] += change * deviation * np.clip(past / over if over else past >= 0, 0.0, 1.0)
        for n, row in enumerate(values.tolist()):
            for one in watch.update(dict(zip(SIGNALS, row, strict=True)), start + n):
                if one.signal == signal and start + n >= CHANGE_AT:
                    return start + n - CHANGE_AT, others
                others += 1
    return None, others


def _values(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Return values of all signals, (count, signals)."""
    shapes = (
        lambda: rng.normal(1.0, 0.5, count),
        lambda: rng.exponential(0.5, count),
        lambda: (rng.random(count) < 0.01) * 0.5,
        lambda: rng.random(count),
    )
    known = {
        "log_loss": rng.gamma(2.0, 0.1, count),
        "click_rate": rng.binomial(10, 0.06, count) / 10,
        "score": rng.normal(-3.0, 0.4, count),
    }
    return np.stack([known[s] if s in known else shapes[n % len(shapes)]() for n, s in enumerate(SIGNALS)], axis=1)
