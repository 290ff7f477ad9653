"""`python -m benchmarks.chaos run|mutants|fuzz|...`: faults on real processes, and whether every promise was kept.

Exit code 1 if anything was lost, applied twice or different, 2 for misuse.
"""

import sys
from pathlib import Path

import click
from rich.console import Console

from benchmarks.chaos import report, schedule
from benchmarks.chaos.mutants import MUTANTS, run_mutant
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
@click.option("--json", "path", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here, too.")
def run(schedules: int, seed: int, faults: int, events: int, seconds: float, path: Path | None) -> None:
    """Run schedules of drawn faults, one after the other."""
    console = Console()
    outcomes = []
    for n in range(seed, seed + schedules):
        outcomes.append(schedule.run(schedule.drawn(n, faults, events, seconds)))
        report.tell(console, outcomes[-1])
    report.show(console, outcomes)
    if path is not None:
        options = f"--schedules {schedules} --seed {seed} --faults {faults} --events {events} --seconds {seconds:g}"
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


if __name__ == "__main__":
    main()
