"""`python -m benchmarks.chaos run|mutants|fuzz|rolling|flood`: faults on real processes, and what is left of promises.

Exit code 1 if anything was lost, applied twice or different, 2 for misuse.
"""

import sys
from pathlib import Path

import click
from rich.console import Console

from benchmarks.chaos import modes, report, schedule
from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.mutants import MUTANTS, run_mutant
from benchmarks.report import Section, show
from streams.logs import configure


@click.group()
def main() -> None:
    """Faults on the real processes."""
    configure("text", 50)


@main.command()
@click.option("--schedules", default=30, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True, help="Of the first schedule; each has the next.")
@click.option("--faults", default=7, show_default=True, type=click.IntRange(1), help="Of a schedule.")
@click.option("--events", default=34_000, show_default=True, type=click.IntRange(1), help="Of a schedule.")
@click.option("--seconds", default=40.0, show_default=True, type=click.FloatRange(1), help="Of its load.")
@click.option("--kind", "only", multiple=True, type=click.Choice(list(FAULTS)), help="Only such faults; repeatable.")
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here, too.")
def run(
    schedules: int, seed: int, faults: int, events: int, seconds: float, only: tuple[str, ...], path: Path | None
) -> None:
    """Run schedules of drawn faults, one after the other."""
    console = Console()
    outcomes = []
    for n in range(seed, seed + schedules):
        outcomes.append(schedule.run(schedule.drawn(n, faults, events, seconds, only)))
        report.tell(console, outcomes[-1])
    report.show(console, outcomes)
    if path is not None:
        options = f"--schedules {schedules} --seed {seed} --faults {faults} --events {events} --seconds {seconds:g}"
        options += "".join(f" --kind '{kind}'" for kind in only)
        path.write_text(report.as_json(outcomes, f"python -m benchmarks.chaos run {options}"), "utf-8")
    sys.exit(any(outcome.verdict.broken for outcome in outcomes))


@main.command()
@click.option("--seed", default=1, show_default=True)
@click.argument("names", nargs=-1)
def mutants(seed: int, names: tuple[str, ...]) -> None:
    """Break the worker on purpose, and see that it is found."""
    console = Console()
    missed = []
    for name in names or MUTANTS:
        if name not in MUTANTS:
            raise click.UsageError(f"no mutant {name!r}; there are: {', '.join(MUTANTS)}")
        outcome = run_mutant(MUTANTS[name], seed)
        console.print(f"[bold]{name}[/]: {'found' if outcome.verdict.broken else '[red]not found[/]'}")
        report.tell(console, outcome)
        missed += [] if outcome.verdict.broken else [name]
    sys.exit(bool(missed))


@main.command()
@click.option("--events", default=1_000_000, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True)
def fuzz(events: int, seed: int) -> None:
    """Send damaged messages to the live stack."""
    _tell(modes.fuzz(events, seed))


@main.command()
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1), help="Of load, at least.")
@click.option("--seed", default=1, show_default=True)
def rolling(seconds: float, seed: int) -> None:
    """Restart all workers in turn under load."""
    _tell(modes.rolling(seconds, seed))


@main.command()
@click.option("--seconds", default=60.0, show_default=True, type=click.FloatRange(1), help="Of the flood.")
@click.option("--seed", default=1, show_default=True)
def flood(seconds: float, seed: int) -> None:
    """Publish more than the workers can do."""
    _tell(modes.flood(seconds, seed))


def _tell(section: Section) -> None:
    show(Console(), section)
    missed = [figure.name for figure in section.figures if figure.verdict == "missed"]
    sys.exit(bool(section.broken or missed))


if __name__ == "__main__":
    main()
