"""Every test that docs/guarantees.md names exists, and the mutants it counts fit the sources as they are."""

import re
from pathlib import Path

import pytest

from benchmarks.chaos.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
PROOFS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", GUARANTEES)))


@pytest.mark.parametrize(("path", "name"), PROOFS)
def test_every_proof_exists(path: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_every_promise_has_a_proof() -> None:
    promises = [line for line in GUARANTEES.splitlines() if line.startswith("| ") and "---" not in line]
    without = [line for line in promises if "::test_" not in line and not line.startswith("| promise")]
    assert without == []
    assert len(promises) > 20


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=MUTANTS)
def test_every_mutant_fits_the_sources(mutant: Mutant) -> None:
    assert (ROOT / mutant.path).read_text("utf-8").count(mutant.old) == 1


def test_the_mutants_are_those_that_it_counts() -> None:
    numbers = ("no", "one", "two", "three", "four", "five", "six")
    assert f"{numbers[len(MUTANTS)]} broken workers" in GUARANTEES
