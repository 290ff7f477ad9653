"""Other loads than drawn faults: damaged messages, workers restarted in turn, more than the workers can do."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.chaos.crew import SESSION_S, WORKERS
from benchmarks.chaos.faults import RESTARTED
from benchmarks.chaos.field import Field
from benchmarks.chaos.mutated import Mutated
from benchmarks.chaos.schedule import Outcome, Plan, run
from benchmarks.chaos.watchers import Grown, Waited, answers, memory
from benchmarks.report import Budget, Section

FUZZ_PER_S = 3_000.0
ROLLING_PER_S = 500.0
FLOOD_PER_S = 5_000.0
"""Events a second that push: more than twice what workers answer on two cores."""
GROWN_MIB = 300.0
"""How much a worker may grow under a flood: two inboxes of 32 MiB, a fetch, caches that fill."""
PUSHING = {"push_on": "click,cart,purchase,search", "push_every_ms": "0"}
ROUNDS = 2


def fuzz(events: int, seed: int) -> Section:
    """Send damaged messages: each must be applied or a dead letter, and no process may end or grow without end."""
    grown = Grown()
    plan = Plan(seed, (), events, FUZZ_PER_S, workers=2, traffic=Mutated)
    outcome = run(plan, lambda field: memory(field, grown))
    section = _section(f"{events:,} messages, half of them damaged", f"fuzz --events {events} --seed {seed}", outcome)
    section.add("dead letters", outcome.verdict.dead_letters, "records")
    section.add("workers that ended", len(outcome.restarts), "", Budget("at most", 0))
    _memory(section, grown)
    return section


def rolling(seconds: float, seed: int) -> Section:
    """Restart every worker in turn, twice, under load: nobody waits for longer than a session and a join."""
    waited = Waited()
    faults = (RESTARTED,) * WORKERS * ROUNDS
    plan = Plan(seed, faults, round(seconds * ROLLING_PER_S), ROLLING_PER_S)
    outcome = run(plan, lambda field: answers(field, waited))
    section = _section(f"{len(faults)} restarts in turn", f"rolling --seconds {seconds:g} --seed {seed}", outcome)
    section.add("answers", len(waited.latencies_ms), "slates", Budget("at least", 1))
    section.add("p50", waited.p(0.5), "ms")
    section.add("p99", waited.p(0.99), "ms")
    section.add("longest silence", waited.gap_s, "s", Budget("at most", SESSION_S, "the session timeout"))
    return section


def flood(seconds: float, seed: int) -> Section:
    """Publish more than the workers can do, then nothing: memory stays bounded, the lag falls, pushes are shed."""
    grown, waited = Grown(), Waited()
    stats: dict[str, int] = {}

    @contextmanager
    def beside(field: Field) -> Iterator[None]:
        with memory(field, grown), answers(field, waited):
            yield
        stats.update(field.deployment.stats())

    plan = Plan(seed, (), round(seconds * FLOOD_PER_S), FLOOD_PER_S, workers=2, settings=PUSHING)
    outcome = run(plan, beside)
    section = _section(f"a flood of {seconds:g} s", f"flood --seconds {seconds:g} --seed {seed}", outcome)
    section.add("requests answered", len(waited.latencies_ms), "slates")
    section.add("requests past their deadline", outcome.verdict.expired, "")
    section.add("pushes", outcome.verdict.slates - len(waited.latencies_ms), "slates")
    section.add("pushes shed", stats.get("pushes_shed", 0), "", Budget("at least", 1, "shed and counted"))
    section.add("longest wait of a request", waited.p(1.0) / 1e3, "s")
    _memory(section, grown)
    return section


def _section(title: str, command: str, outcome: Outcome) -> Section:
    section = Section(title, f"python -m benchmarks.chaos {command}", broken=list(outcome.verdict.broken))
    found = outcome.verdict
    section.add("events accounted for", found.events, "records")
    section.add("lost, or applied twice", found.lost + found.twice, "records", Budget("at most", 0))
    section.add("users that differ", found.users_different, f"of {found.users}", Budget("at most", 0))
    return section


def _memory(section: Section, grown: Grown) -> None:
    for name, most in sorted(grown.most_mib.items()):
        budget = Budget("at most", GROWN_MIB) if name.startswith("worker") else None
        section.add(f"{name}: grown by", most - grown.first_mib[name], "MiB", budget, f"to {most:.0f} MiB")
