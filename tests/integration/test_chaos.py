"""A short schedule of faults on real workers, and a worker broken on purpose: nothing is lost, and it would be found.

`make chaos` runs thirty long ones, `make mutants` all of the broken workers.
"""

import pytest

from benchmarks.chaos.faults import FAULTS
from benchmarks.chaos.mutants import MUTANTS, run_mutant
from benchmarks.chaos.schedule import Plan, drawn, kinds, run

SHORT = ("worker killed before it published", "redis: connections reset", "worker stopped for a moment", "redis: full",
         "triton: hangs")  # fmt: skip


@pytest.mark.timeout(240)
def test_faults_lose_double_and_change_nothing() -> None:
    found = run(Plan(seed=1, faults=SHORT, events=8_000, rate_per_s=800, workers=2))
    assert found.verdict.broken == []
    assert [strike.kind for strike in found.strikes] == list(SHORT)
    assert found.verdict.lost == found.verdict.twice == found.verdict.users_different == 0
    assert found.verdict.events >= 8_000
    assert min(found.verdict.duplicates, found.verdict.dead_letters, found.verdict.slates) > 0


@pytest.mark.timeout(240)
def test_without_the_memory_of_event_ids_it_is_found() -> None:
    found = run_mutant(MUTANTS["event ids are not remembered"], seed=1)
    assert found.verdict.twice or found.verdict.users_different
    assert found.verdict.broken


def test_thirty_schedules_have_every_fault() -> None:
    plans = [drawn(seed, 7, 1, 1.0) for seed in range(1, 31)]
    assert {kind for plan in plans for kind in plan.faults} == set(kinds()) <= set(FAULTS)
