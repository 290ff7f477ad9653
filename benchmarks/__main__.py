"""`python -m benchmarks [SUITE] [--seconds N] [--swaps N] [--plot FILE] [--json FILE]`: one suite, or all, measured.

Suites with servers have a fresh stack each.

Exit code 0 even if a budget is missed, the table says so; 1 if something broke (a request without an answer, a server
that ended), 2 for misuse.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from benchmarks import backfill, drift, explore, ingest, latency, learner, rank, react, simulate, store, swap
from benchmarks.report import Section, as_json, machine, show
from streams.embedded.stack import Addresses, Stack
from streams.errors import StreamrankError
from streams.logs import configure

Measure = Callable[[Path, str], list[Section]]
"""From a folder of its own, and the command that repeats it."""


def suites(seconds: float, swaps: int, plot: Path | None, data: Path | None) -> dict[str, Measure]:
    """Return what can be measured, by name."""
    return {
        "latency": _on_stack(lambda at, folder, command: latency.measure(at, folder, seconds, command)),
        "ingest": _on_stack(lambda at, folder, command: ingest.measure(at, folder, ingest.EVENTS_IN_LOG, command)),
        "react": _on_stack(react.measure),
        "rank": rank.measure,
        "store": _on_stack(store.measure),
        "backfill": _on_stack(backfill.measure),
        "simulate": simulate.measure,
        "explore": lambda folder, command: explore.measure(command, plot),
        "swap": lambda folder, command: swap.measure(folder, command, swaps),
        "learner": lambda folder, command: learner.measure(folder, data, command),
        "drift": lambda folder, command: drift.measure(command),
    }


def _on_stack(measure: Callable[[Addresses, Path, str], list[Section]]) -> Measure:
    """Give it a stack of its own, so that nothing earlier weighs on the broker."""

    def measured(folder: Path, command: str) -> list[Section]:
        with Stack(folder / "stack") as stack:
            return measure(stack.addresses, folder, command)

    return measured


@click.command()
@click.argument(
    "suite",
    required=False,
    type=click.Choice(
        ["latency", "react", "ingest", "rank", "store", "backfill", "simulate", "explore", "swap", "learner", "drift"]
    ),
)
@click.option("--seconds", default=20.0, show_default=True, type=click.FloatRange(1), help="Length of a paced run.")
@click.option("--swaps", default=100, show_default=True, type=click.IntRange(1), help="Of the ranker, in suite swap.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="SVG of suite explore.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of Open Bandit's files, for suite learner."
)
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here, too.")
def main(
    suite: str | None, seconds: float, swaps: int, plot: Path | None, data: Path | None, path: Path | None
) -> None:
    """Measure latency and throughput beside their floors."""
    configure("text", 40)
    console = Console(stderr=False)
    facts = machine()
    console.print(f"{facts['cores']} cores ({facts['cpu']}), {facts['ram_gib']} GiB, load {facts['load_1_min']}")
    sections: list[Section] = []
    for name, measure in suites(seconds, swaps, plot, data).items():
        if suite in (None, name):
            options = {"latency": f" --seconds {seconds:g}", "swap": f" --swaps {swaps}"}
            options |= {"learner": f" --data {data}"} if data else {}
            command = f"python -m benchmarks {name}" + options.get(name, "")
            for section in _measured(name, measure, command):
                show(console, section)
                sections.append(section)
    if path is not None:
        path.write_text(as_json(sections), "utf-8")
    sys.exit(any(section.broken for section in sections))


def _measured(name: str, measure: Measure, command: str) -> list[Section]:
    with tempfile.TemporaryDirectory(prefix="streamrank-bench-") as folder:
        try:
            return measure(Path(folder), command)
        except StreamrankError as exc:
            return [Section(name, command, broken=[str(exc)])]


if __name__ == "__main__":
    main()
