"""What schedules came to: a table by kind of fault for people, JSON for programs."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.chaos.field import Strike
from benchmarks.chaos.schedule import Outcome
from benchmarks.report import machine

SUMS = ("events", "applied", "duplicates", "dead_letters", "lost", "twice", "users", "users_different", "slates",
        "repeated", "expired")  # fmt: skip


def totals(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return the sums over all verdicts, and how many faults there were."""
    sums = {name: sum(getattr(outcome.verdict, name) for outcome in outcomes) for name in SUMS}
    return {"schedules": len(outcomes), "faults": sum(len(outcome.strikes) for outcome in outcomes)} | sums


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Return for each kind of fault how often it came, and the seconds until all was as before."""
    kinds: dict[str, list[Strike]] = defaultdict(list)
    for strike in (strike for outcome in outcomes for strike in outcome.strikes):
        kinds[strike.kind].append(strike)
    return {kind: _row(strikes) for kind, strikes in sorted(kinds.items())}


def _row(strikes: Sequence[Strike]) -> dict[str, Any]:
    times = [strike.recovered_s for strike in strikes if strike.recovered_s is not None]
    return {
        "faults": len(strikes),
        "lasted_s": round(median(strike.lasted_s for strike in strikes), 2),
        "recovered_p50_s": round(median(times), 2) if times else None,
        "recovered_most_s": round(max(times), 2) if times else None,
        "never": len(strikes) - len(times),
    }


def as_json(outcomes: Sequence[Outcome], command: str) -> str:
    """Return everything as JSON, with the machine that it was measured on."""
    document = {
        "machine": machine(),
        "command": command,
        "totals": totals(outcomes),
        "kinds": by_kind(outcomes),
        "schedules": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(document, indent=2) + "\n"


def tell(console: Console, outcome: Outcome) -> None:
    """Print a line about one schedule, and a line for each promise that it broke."""
    found = outcome.verdict
    console.print(
        f"seed {outcome.seed}: {len(outcome.strikes)} faults, {found.events:,} events, lost {found.lost}, twice "
        f"{found.twice}, {found.users_different} of {found.users} users differ, {found.slates:,} slates "
        f"({found.repeated} repeated, {found.expired} expired), {outcome.elapsed_s:.0f} s",
        highlight=False,
    )
    for sentence in found.broken:
        console.print(f"[red]broken: {sentence}[/]", highlight=False)


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print all kinds of faults with their times to recover, and the sums."""
    table = Table(title="Seconds from the end of a fault until all was as before", title_justify="left")
    for name in ("fault", "faults", "lasted", "p50", "most", "never"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    for kind, row in by_kind(outcomes).items():
        table.add_row(kind, *("-" if value is None else f"{value:g}" for value in row.values()))
    console.print(table)
    sums = totals(outcomes)
    console.print(
        f"{sums['schedules']} schedules, {sums['faults']} faults, {sums['events']:,} events: "
        f"{sums['applied']:,} applied, {sums['duplicates']:,} duplicates, {sums['dead_letters']:,} dead letters; "
        f"lost {sums['lost']}, twice {sums['twice']}, users that differ {sums['users_different']} of {sums['users']:,}",
        highlight=False,
    )
