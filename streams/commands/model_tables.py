"""What `streamrank models` prints: a lineup, and one version with its history."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.errors import Misuse
from streams.rollout.agreement import MEASURES
from streams.rollout.comparison import Verdict
from streams.rollout.lineup import Lineup, first
from streams.rollout.pointer import Heartbeat, Pointer
from streams.rollout.referee import rules_of
from streams.rollout.trial import Trial
from streams.settings import Settings

_COLOURS = {"champion": "green", "rejected": "red", "rolled back": "red", "shadow": "cyan", "canary": "yellow"}


def lineup_result(lineup: Lineup, workers: Mapping[str, Heartbeat]) -> dict[str, Any]:
    """Return what `--json` writes of a lineup."""
    follow = sum(beat.revision == lineup.revision for beat in workers.values())
    result: dict[str, Any] = msgspec.to_builtins(lineup, str_keys=True)
    return result | {"workers": len(workers), "workers_that_follow": follow}


def show_lineup(lineup: Lineup, workers: Mapping[str, Heartbeat]) -> None:
    """Print a row for each version, and who follows."""
    table = Table("version", "state", "measured", "why", title=f"{lineup.model}, revision {lineup.revision}")
    for version, known in sorted(lineup.versions.items()):
        state = known.state + (f" {lineup.canary_share:.1%}" if version == lineup.canary else "")
        coloured = f"[{_COLOURS.get(known.state, 'default')}]{state}[/]"
        table.add_row(str(version), coloured, _measured(known.metrics), escape(known.why))
    console = Console(highlight=False)
    console.print(table)
    follow = sum(beat.revision == lineup.revision for beat in workers.values())
    console.print(f"{follow} of {len(workers)} workers follow revision {lineup.revision}")


async def show_version(pointer: Pointer, settings: Settings, version: int) -> dict[str, Any]:
    """Print one version, and return what was printed."""
    lineup = await pointer.read() or first(settings.triton_model, settings.triton_version)
    known = lineup.versions.get(version)
    if known is None:
        raise Misuse(f"{lineup.model}/{version} was never published; see `streamrank models list`")
    shadow = _means(await pointer.shadowed(version))
    trial = await _trial(pointer, settings, version)
    events = [event for event in await pointer.history() if event.version == version]
    console = Console(highlight=False)
    console.print(f"{lineup.model}/{version}: {known.state}  {escape(known.why)}")
    for name, value in (known.metrics | {f"shadow {name}": value for name, value in shadow.items()}).items():
        console.print(f"  {name}: {value:g}")
    if trial is not None and version == lineup.canary:
        console.print(f"trial on {lineup.canary_share:.1%} of the users: {trial.answer}, {trial.why}")
        for name, value in trial.metrics().items():
            console.print(f"  {name}: {value:g}")
    table = Table("when", "revision", "from", "to", "who", "why")
    for event in events:
        at = datetime.fromtimestamp(event.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        row = (at, str(event.revision), event.before or "", event.after, escape(event.who), escape(event.why))
        table.add_row(*row)
    console.print(table)
    result: dict[str, Any] = msgspec.to_builtins(known)
    judged = None if trial is None else {"answer": trial.answer, "why": trial.why, "metrics": trial.metrics()}
    told = {"version": version, "shadow": shadow, "trial": judged}
    return result | told | {"history": [msgspec.to_builtins(e) for e in events]}


async def _trial(pointer: Pointer, settings: Settings, version: int) -> Verdict | None:
    """Return what feedback says of a canary, if it is the last one that was watched."""
    packed = await pointer.trial()
    trial = None if packed is None else Trial.unpack(packed)
    return None if trial is None or trial.arms.canary != version else trial.verdict(rules_of(settings))


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    """Return what a shadow did: means of what was measured, and how many requests were compared, dropped, failed."""
    if not sums:
        return {}
    found = {name: sums.get(name, 0.0) / max(1.0, sums.get("compared", 0.0)) for name in MEASURES}
    found["latency_ms"] = sums.get("latency_ms", 0.0) / max(1.0, sums.get("calls", 0.0))
    return found | {name: sums.get(name, 0.0) for name in ("compared", "dropped", "failed")}


def _measured(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in metrics.items())
