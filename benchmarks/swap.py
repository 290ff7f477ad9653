"""Swaps of the ranker under an open-loop load: whether a request fails, waits, or gets items from two versions.

Versions are the ranker that comes with Streamrank, its p moved into a band of each version's own, so each item of a
slate tells which version scored it. The operator is a process beside the worker; a swap is a promotion of a version
from the shelf: loaded, warmed up, compared with its file, pointed at, and the oldest one unloaded.
"""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.deployment import PROMPT, Deployment
from benchmarks.memory import Memory
from benchmarks.paced import Arrival, Due, Reader, send
from benchmarks.report import Budget, Section, percentile
from benchmarks.shop import Shop
from inference.manifest import MANIFEST_FILE, MODEL_FILE
from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.tensors import config_pbtxt
from inference.verify import golden
from streams.commands.up import write_settings
from streams.contracts.topics import ITEMS, RECOMMENDATIONS
from streams.embedded.stack import Stack
from streams.errors import StackFailed
from streams.settings import SHIPPED_MODELS

RATE = 100
HISTORY_EVENTS = 20_000
VERSIONS = (2, 3, 4, 5)
"""Those that are promoted in turn: two of them always lie on the shelf."""
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
    """Measure on a stack of its own."""
    section = Section(f"{swaps} swaps of the ranker at {RATE} requests/s", command)
    (folder / "models" / "ranker").mkdir(parents=True)
    (folder / "models" / "ranker" / "config.pbtxt").write_text(config_pbtxt("ranker", "cpu"))
    write_banded(folder / "models" / "ranker", 1)
    for version in VERSIONS:
        write_banded(folder / "new" / "ranker", version)
    with Stack(folder / "stack", folder / "models") as stack, Deployment(stack.addresses, folder) as deployment:
        _swap_under_load(section, deployment, Memory(stack.pids["triton"]), folder, swaps)
    return [section]


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

    def __init__(self, deployment: Deployment, folder: Path, swaps: int) -> None:
        config = folder / "swap.toml"
        write_settings(config, deployment.environment)
        script, new = Path(__file__).with_name("swapper.py"), folder / "new" / "ranker"
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(config), str(new), str(swaps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.seconds: list[float] = []
        self.ended = threading.Event()

    def await_published(self) -> None:
        """Return when all versions are validated."""
        assert self._process.stdout is not None
        if "published" not in self._process.stdout.readline():
            raise StackFailed("the operator could not publish its versions")

    def start(self) -> None:
        """Have it begin to swap."""
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            self.seconds.append(json.loads(line)["seconds"])
        self._process.wait()
        self.ended.set()


def _swap_under_load(section: Section, deployment: Deployment, memory: Memory, folder: Path, swaps: int) -> None:
    shop = Shop()
    operator = Operator(deployment, folder, swaps)
    operator.await_published()
    deployment.start()
    deployment.watch(deployment.items_written, deployment.publish(shop.catalogue(), ITEMS))
    published = deployment.publish(shop.history(HISTORY_EVENTS, int(time.time() * 1000)))
    deployment.watch(lambda: deployment.stats().get("applied", 0), published)
    time.sleep(IDLE_S)
    before_mib = memory.mib()
    reader = Reader(deployment.consumer(RECOMMENDATIONS), lambda value: _decode(value).request_id or "")
    phases: dict[str, list[str]] = {"warm": [], "before": [], "during": []}
    load = _requests(shop, operator, phases)
    due_s = send(deployment.producer(PROMPT), deployment.settings.topic("events"), load)
    arrivals = reader.finish(len(due_s))
    deployment.check()
    _add_times(section, phases, due_s, arrivals)
    _add_answers(section, due_s, arrivals)
    section.add("swaps", len(operator.seconds), "")
    section.add("one swap, median", percentile(sorted(operator.seconds), 0.5), "s", note="load to unload of the oldest")
    time.sleep(IDLE_S)
    for name, before, after in zip(memory.NAMES, before_mib, memory.mib(), strict=True):
        section.add(f"{name}, before", before, "MiB", note="two versions loaded, as after")
        section.add(f"{name}, after", after, "MiB", note=f"{(after - before) * 1024 / swaps:+.1f} KiB a swap")
    if len(operator.seconds) < swaps:
        section.broken.append(f"{swaps - len(operator.seconds)} of {swaps} swaps failed")


def _requests(shop: Shop, operator: Operator, phases: dict[str, list[str]]) -> Iterator[Due]:
    """Yield requests at RATE; the operator begins after BEFORE_S, and the load ends with it."""
    for n in count():
        at_s = n / RATE
        phase = "warm" if at_s < WARM_S else "before" if at_s < WARM_S + BEFORE_S else "during"
        if phase == "during" and not phases["during"]:
            operator.start()
        if operator.ended.is_set():
            return
        phases[phase].append(f"r-{n}")
        yield Due(at_s, shop.request(shop.user(), n, int(time.time() * 1000)), f"r-{n}")


def _add_times(
    section: Section, phases: dict[str, list[str]], due_s: dict[str, float], arrivals: dict[str, Arrival]
) -> None:
    p99: dict[str, float] = {}
    for phase in ("before", "during"):
        times = sorted((arrivals[i].at_s - due_s[i]) * 1e3 for i in phases[phase] if i in arrivals)
        p99[phase] = percentile(times, 0.99)
        limit = Budget(
            "at most", max(P99_MS, P99_RATIO * p99["before"]), f"at most {P99_RATIO:g} x before, or {P99_MS:g}"
        )
        section.add(f"slate {phase} swaps, p50", percentile(times, 0.5), "ms", note=f"{len(times)} requests")
        section.add(f"slate {phase} swaps, p99", p99[phase], "ms", limit if phase == "during" else None)
        section.add(f"slate {phase} swaps, slowest", times[-1], "ms")


def _add_answers(section: Section, due_s: dict[str, float], arrivals: dict[str, Arrival]) -> None:
    slates = [_decode(arrivals[i].value) for i in due_s if i in arrivals]
    wrong = [slate for slate in slates if slate.served_by != "triton" or not slate.items]
    failed = len(due_s) - len(slates) + len(wrong)
    why = Counter(slate.because or "empty" for slate in wrong).most_common(1)
    mixed = sum(_is_mixed(slate) for slate in slates if slate.served_by == "triton")
    section.add(
        "failed requests",
        failed,
        "",
        Budget("at most", 0),
        f"not ranked by Triton; mostly: {why[0][0] if why else '-'}",
    )
    section.add("slates of two versions", mixed, "", Budget("at most", 0), "an item's p outside its model's band")
    section.add("versions that served", len({slate.model for slate in slates}), "")


def _is_mixed(slate: _Slate) -> bool:
    """Tell whether any item has a p outside the band of the version that the slate names."""
    low = int((slate.model or "/0").rpartition("/")[2]) * BAND
    return any(not low - 1e-5 <= p <= low + WIDTH + 1e-5 for item in slate.items for p in (item.p or {"": -1}).values())
