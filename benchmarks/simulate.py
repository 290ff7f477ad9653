"""`streamrank simulate` as a user calls it, each time in a process of its own. No server is involved.

Rates come from the usual shop. Memory comes from logs of two lengths of a small one, whose users have met all they ever
will: what the longer needs more than the shorter would be the log's, and there should be next to nothing of it.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Budget, Section
from benchmarks.shop import Shop, Size
from streams.errors import StackFailed
from streams.event_log import EVENTS, ITEMS

EVENTS_FOR_RATES, SAMPLE = 100_000, 0.4
EVENTS_FOR_MEMORY = (200_000, 400_000)
SMALL = Size(items=1_200, users=500)
RUN_S = 600.0
EVENTS_PER_S, SHARE_OUTSIDE, MEMORY_GROWTH = 40_000.0, 0.5, 1.1
_WARM_UP_EVENTS = 2_000
"""Of a first run, in which numba compiles, as after an installation."""


def measure(folder: Path, command: str) -> list[Section]:
    """Measure rates, then memory."""
    _simulated(folder / "warm-up", _WARM_UP_EVENTS, SMALL)
    return [_rates(folder, command), _memory(folder, command)]


def _rates(folder: Path, command: str) -> Section:
    size = Size()
    timing = _simulated(folder / "rates", EVENTS_FOR_RATES, size, SAMPLE)
    section = Section(f"simulate holdout-last, {EVENTS_FOR_RATES:,} events, {size.users:,} users, one process", command)
    budget = Budget("at least", EVENTS_PER_S)
    section.add("state only", timing["events_s"], "events/s", budget, "reading and baselines not counted")
    section.add("slates", timing["slates_s"], "slates/s", note="onnxruntime")
    budget = Budget("at most", SHARE_OUTSIDE)
    section.add("of their time, outside onnxruntime", timing["share_outside_ranker"], "", budget)
    section.add("the whole command", timing["seconds"], "s", note="with baselines")
    return section


def _memory(folder: Path, command: str) -> Section:
    section = Section(f"simulate at two lengths, {SMALL.users:,} users, {SMALL.items:,} items", command)
    peaks = []
    for events in EVENTS_FOR_MEMORY:
        timing = _simulated(folder / f"{events}", events, SMALL)
        peaks.append(timing["peak_rss_bytes"] / 2**20)
        section.add(f"{events:,} events: peak", peaks[-1], "MiB")
    section.add("twice the log / the log", peaks[1] / peaks[0], "x", Budget("at most", MEMORY_GROWTH))
    return section


def _simulated(log: Path, events: int, size: Size, sample: float = 1.0) -> dict[str, Any]:
    """Write a log of so many events, and run the command on it; return its `timing`.

    Raises:
        StackFailed: it failed.
    """
    _write(log, events, size)
    result = log / "result.json"
    options = ["--protocol", "holdout-last", "--sample", str(sample), "--json", str(result)]
    command = [sys.executable, "-m", "streams.cli", "simulate", str(log), *options]
    try:
        subprocess.run(command, capture_output=True, timeout=RUN_S, check=True)
    except subprocess.SubprocessError as exc:
        raise StackFailed(f"simulate did not end well on {events:,} events: {exc}") from exc
    timing: dict[str, Any] = json.loads(result.read_text("utf-8"))["timing"]
    return timing


def _write(folder: Path, events: int, size: Size) -> None:
    """Write a history of the shop as `streamrank import` would."""
    shop = Shop(size)
    folder.mkdir()
    for name, pairs in ((ITEMS, shop.catalogue()), (EVENTS, shop.history(events, int(time.time() * 1000)))):
        with (folder / name).open("wb") as lines:
            lines.writelines(value + b"\n" for _, value in pairs)
