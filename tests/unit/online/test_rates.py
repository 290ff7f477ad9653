import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.online.rates import EVIDENCE, HALF_LIFE_MS, Rates
from tests.unit.building import T0


def residuals(rates: Rates) -> dict[int, float]:
    ids, values, _ = rates.table()
    return dict(zip(ids.tolist(), values.tolist(), strict=True))


def test_a_residual_is_clicks_over_expected_clicks() -> None:
    rates = Rates(10)
    for n in range(40):
        rates.add(7, n % 4 == 0, 0.05, T0)
    assert rates.residual(7) == pytest.approx(math.log((10 + EVIDENCE) / (2 + EVIDENCE)))
    assert rates.residual(8) == 0.0


def test_a_half_life_later_the_evidence_is_half() -> None:
    rates = Rates(10)
    for _ in range(10):
        rates.add(7, True, 0.5, T0)
    rates.add(8, False, 0.5, T0 + HALF_LIFE_MS)
    assert rates.residual(7) == pytest.approx(math.log((5 + EVIDENCE) / (2.5 + EVIDENCE)))
    ids, _, seen = rates.table()
    assert dict(zip(ids.tolist(), seen.tolist(), strict=True)) == pytest.approx({7: 5.0, 8: 1.0})
    rates.add(8, False, 0.5, T0)  # late: time doesn't go back
    assert rates.residual(7) == pytest.approx(math.log((5 + EVIDENCE) / (2.5 + EVIDENCE)))


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 1), st.integers(0, 400)), max_size=60))
def test_residuals_are_finite_whatever_the_order_of_times_and_survive_being_stored(
    steps: list[tuple[int, bool, float, int]],
) -> None:
    rates = Rates(4)
    for one, clicked, expected, days in steps:
        rates.add(one, clicked, expected, T0 + days * HALF_LIFE_MS)
    assert all(math.isfinite(value) for value in residuals(rates).values())
    assert residuals(Rates(4, rates.kept())) == residuals(rates)
    assert Rates(4, rates.kept()).kept() == rates.kept()


def test_after_years_what_was_is_forgotten_and_what_comes_counts() -> None:
    rates = Rates(10)
    rates.add(7, True, 0.1, T0)
    rates.add(8, True, 0.1, T0 + 3_000 * HALF_LIFE_MS)
    assert rates.residual(7) == 0.0
    assert rates.residual(8) == pytest.approx(math.log((1 + EVIDENCE) / (0.1 + EVIDENCE)))


def test_a_million_ids_stay_within_the_bound_and_the_last_shown_stay() -> None:
    rates, size = Rates(1_000), 1_000
    digests = np.random.default_rng(1).integers(0, 2**64, 1_000_000, np.uint64).tolist()
    favourite = digests[0]
    for n, one in enumerate(digests):
        rates.add(one, False, 0.1, T0 + n)
        if n % 500 == 0:
            rates.add(favourite, True, 0.1, T0 + n)
            assert len(rates) <= size
    assert len(rates) == size
    assert set(residuals(rates)) >= {favourite, *digests[-400:]}
    assert rates.residual(favourite) == pytest.approx(math.log(2_000 / 200), abs=0.02)
    assert len(rates.kept().ids) == 8 * size
    assert len(rates.kept().sums) == 24 * size
