"""Swaps of the ranker under an open-loop load: whether a request fails, waits, or gets items from two versions.

Versions are the ranker that comes with Streamrank, its p moved into a band of each version's own, so each item of a
slate tells which version scored it. The operator is a process beside the worker; a swap is a promotion of a version
from the shelf: loaded, warmed up, compared with its file, pointed at, and the oldest one unloaded; a request that is
due between begin and end of one is "during" it. As many swaps again, without a load, tell whether memory grows on.
"""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.deployment import PROMPT, Deployment
from benchmarks.memory import Memory
from benchmarks.paced import Due, Reader, send
from benchmarks.report import Budget, Section, percentile
from benchmarks.shop import Shop
from inference.manifest import MANIFEST_FILE, MODEL_FILE
from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.repository import ModelFolder, load
from inference.tensors import config_pbtxt
from inference.verify import golden
from streams.checks import triton_address
from streams.commands.up import write_settings
from streams.contracts.topics import ITEMS, RECOMMENDATIONS
from streams.embedded.stack import Stack
from streams.errors import StackFailed
from streams.settings import SHIPPED_MODELS, Settings

RATE = 100
PAUSE_S = 2.0
"""After a swap, in which the processes of unloaded versions end."""
HISTORY_EVENTS = 20_000
VERSIONS = (2, 3, 4, 5)
"""Those that are promoted in turn: two of them always lie on the shelf."""
ROUND = 20
"""Swaps on the same topics: the embedded broker slows with the length of its log, swaps or not."""
BAND, WIDTH = 0.1, 0.05
"""p of version v lies in [v * BAND, v * BAND + WIDTH]."""
WARM_S, BEFORE_S = 3.0, 20.0
P99_MS, P99_RATIO = 25.0, 2.0
IDLE_S = 10.0
"""After so long the processes of unloaded versions have ended, and memory is looked at."""


class _Item(msgspec.Struct):
    p: dict[str, float] | None = None


class _Slate(msgspec.Struct):
    request_id: str | None
    model: str | None
    served_by: str
    because: str | None
    items: list[_Item]


_decode = msgspec.json.Decoder(_Slate).decode


def measure(folder: Path, command: str, swaps: int) -> list[Section]:
    """Measure on one server, in rounds of ROUND swaps, each with topics, a worker and an operator of its own."""
    (folder / "models" / "ranker").mkdir(parents=True)
    (folder / "models" / "ranker" / "config.pbtxt").write_text(config_pbtxt("ranker", "cpu"))
    write_banded(folder / "models" / "ranker", 1)
    for version in VERSIONS:
        write_banded(folder / "new" / "ranker", version)
    seen = _Seen()
    with Stack(folder / "stack", folder / "models") as stack:
        memory = Memory(stack.pids["triton"])
        for done in range(0, swaps, ROUND):
            with Deployment(stack.addresses, folder) as deployment:
                _serve_first(deployment.settings)
                _swap_under_load(seen, deployment, memory, folder, min(ROUND, swaps - done))
        with Deployment(stack.addresses, folder) as deployment:
            _serve_first(deployment.settings)
            _swap_alone(seen, Operator(deployment, folder, swaps, 0.0), memory)
        return [_section(seen, command, swaps)]


def write_banded(folder: Path, version: int) -> None:
    """Write the shipped ranker with its p in the version's band, and a manifest that fits."""
    model = onnx.load(SHIPPED_MODELS / "ranker" / "1" / MODEL_FILE)
    for node in model.graph.node:
        node.output[:] = ["p_plain" if name == "p" else name for name in node.output]
        node.input[:] = ["p_plain" if name == "p" else name for name in node.input]
    for name, value in (("p_width", WIDTH), ("p_from", version * BAND)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.node.append(helper.make_node("Mul", ["p_plain", "p_width"], ["p_narrow"]))
    model.graph.node.append(helper.make_node("Add", ["p_narrow", "p_from"], ["p"]))
    place = folder / str(version)
    place.mkdir(parents=True)
    onnx.save(model, place / MODEL_FILE)
    ranker = OnnxRanker(folder, version)
    answers = golden([ranker.score(inputs) for inputs in golden_inputs()]).tolist()
    sha256 = {MODEL_FILE: hashlib.sha256((place / MODEL_FILE).read_bytes()).hexdigest()}
    (place / MANIFEST_FILE).write_text(json.dumps({"golden": answers, "sha256": sha256}))


class Operator:
    """The process that swaps; its lines are read as they come."""

    def __init__(self, deployment: Deployment, folder: Path, swaps: int, pause_s: float) -> None:
        config = folder / "swap.toml"
        write_settings(config, deployment.environment)
        script, new = Path(__file__).with_name("swapper.py"), folder / "new" / "ranker"
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(config), str(new), str(swaps), str(pause_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.swaps: list[tuple[float, float]] = []
        """Begin and end of each, as perf_counter says."""
        self.ended = threading.Event()

    def await_published(self) -> None:
        """Return when all versions are validated."""
        assert self._process.stdout is not None
        if "published" not in self._process.stdout.readline():
            raise StackFailed("the operator could not publish its versions")

    def start(self) -> None:
        """Have it begin to swap; `ended` is set after the last one."""
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            swap = json.loads(line)
            self.swaps.append((swap["began_s"], swap["ended_s"]))
        self._process.wait()
        self.ended.set()


def _serve_first(settings: Settings) -> None:
    """Have Triton serve version 1, with which every deployment begins, if an earlier one has put it on the shelf."""
    assert settings.triton_repository is not None
    models = ModelFolder(settings.triton_repository, settings.triton_model)
    with models.alone():
        if models.where(1) == models.shelf:
            models.bring_in(1)
            load(triton_address(settings), settings.triton_model)


@dataclass
class _Seen:
    """What came of all rounds; times in ms, memory in MiB as `Memory` gives it."""

    times: dict[str, list[float]] = field(default_factory=lambda: {"before": [], "during": []})
    slates: list[_Slate] = field(default_factory=list)
    asked: int = 0
    swap_s: list[float] = field(default_factory=list)
    swaps_alone: int = 0
    memory: list[tuple[float, float]] = field(default_factory=list)


def _swap_under_load(seen: _Seen, deployment: Deployment, memory: Memory, folder: Path, swaps: int) -> None:
    shop = Shop()
    operator = Operator(deployment, folder, swaps, PAUSE_S)
    operator.await_published()
    deployment.start()
    deployment.watch(deployment.items_written, deployment.publish(shop.catalogue(), ITEMS))
    published = deployment.publish(shop.history(HISTORY_EVENTS, int(time.time() * 1000)))
    deployment.watch(lambda: deployment.stats().get("applied", 0), published)
    time.sleep(IDLE_S)
    seen.memory.append(memory.mib())
    reader = Reader(deployment.consumer(RECOMMENDATIONS), lambda value: _decode(value).request_id or "")
    requests = _requests(shop, operator)
    due_s = send(deployment.producer(PROMPT), deployment.settings.topic("events"), requests)
    arrivals = reader.finish(len(due_s))
    deployment.check()
    start_s = min(due_s.values())
    spans = {"before": [(start_s + WARM_S, start_s + WARM_S + BEFORE_S)], "during": operator.swaps}
    for phase, times in seen.times.items():
        times += [
            (arrived.at_s - due_s[request_id]) * 1e3
            for request_id, arrived in arrivals.items()
            if any(began_s <= due_s[request_id] < ended_s for began_s, ended_s in spans[phase])
        ]
    seen.slates += [_decode(arrived.value) for arrived in arrivals.values()]
    seen.asked += len(due_s)
    seen.swap_s += [ended_s - began_s for began_s, ended_s in operator.swaps]
    time.sleep(IDLE_S)
    seen.memory.append(memory.mib())


def _requests(shop: Shop, operator: Operator) -> Iterator[Due]:
    """Yield requests at RATE; the operator begins after WARM_S and BEFORE_S, and the load ends with it."""
    for n in count():
        if n == round((WARM_S + BEFORE_S) * RATE):
            operator.start()
        if operator.ended.is_set():
            return
        yield Due(n / RATE, shop.request(shop.user(), n, int(time.time() * 1000)), f"r-{n}")


def _swap_alone(seen: _Seen, operator: Operator, memory: Memory) -> None:
    operator.await_published()
    operator.start()
    operator.ended.wait()
    seen.swaps_alone = len(operator.swaps)
    time.sleep(IDLE_S)
    seen.memory.append(memory.mib())


def _section(seen: _Seen, command: str, swaps: int) -> Section:
    section = Section(f"{swaps} swaps of the ranker at {RATE} requests/s", command)
    for swapped, where in ((len(seen.swap_s), "under load"), (seen.swaps_alone, "without a load")):
        if swapped < swaps:
            section.broken.append(f"{swaps - swapped} of {swaps} swaps {where} failed")
    if not seen.swap_s:
        return section
    p99_before = 0.0
    for phase, unsorted in seen.times.items():
        times = sorted(unsorted)
        p99 = percentile(times, 0.99)
        limit = Budget("at most", max(P99_MS, P99_RATIO * p99_before), f"at most {P99_RATIO:g} x before, or {P99_MS:g}")
        section.add(f"slate {phase} swaps, p50", percentile(times, 0.5), "ms", note=f"{len(times)} requests")
        section.add(f"slate {phase} swaps, p99", p99, "ms", limit if phase == "during" else None)
        section.add(f"slate {phase} swaps, slowest", times[-1], "ms")
        p99_before = p99
    _add_answers(section, seen)
    section.add("swaps", len(seen.swap_s), "")
    section.add("one swap, median", percentile(sorted(seen.swap_s), 0.5), "s", note="load to unload of the oldest")
    before, after, last = seen.memory[0], seen.memory[-2], seen.memory[-1]
    for name, *mib in zip(Memory.NAMES, before, after, last, strict=True):
        section.add(f"{name}, before", mib[0], "MiB", note="two versions loaded, as after")
        section.add(f"{name}, after", mib[1], "MiB", note=f"{(mib[1] - mib[0]) * 1024 / swaps:+.1f} KiB a swap")
        section.add(
            f"{name}, after as many again", mib[2], "MiB", note=f"{(mib[2] - mib[1]) * 1024 / swaps:+.1f} KiB a swap"
        )
    return section


def _add_answers(section: Section, seen: _Seen) -> None:
    wrong = [slate for slate in seen.slates if slate.served_by != "triton" or not slate.items]
    failed = seen.asked - len(seen.slates) + len(wrong)
    why = Counter(slate.because or "empty" for slate in wrong).most_common(1)
    mixed = sum(_is_mixed(slate) for slate in seen.slates if slate.served_by == "triton")
    note = f"not ranked by Triton; mostly: {why[0][0] if why else '-'}"
    section.add("failed requests", failed, f"of {seen.asked}", Budget("at most", 0), note)
    section.add("slates of two versions", mixed, "", Budget("at most", 0), "an item's p outside its model's band")
    section.add("versions that served", len({slate.model for slate in seen.slates}), "")


def _is_mixed(slate: _Slate) -> bool:
    """Tell whether any item has a p outside the band of the version that the slate names."""
    low = int((slate.model or "/0").rpartition("/")[2]) * BAND
    return any(not low - 1e-5 <= p <= low + WIDTH + 1e-5 for item in slate.items for p in (item.p or {"": -1}).values())
