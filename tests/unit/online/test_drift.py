"""A faster version of `python -m benchmarks drift`."""

import msgspec
import numpy as np
import pytest

from streams.online.drift import WARM_UP, Watch

NAMES = ("click_rate", "log_loss", *(f"feature_{n}" for n in range(37)))
CHANGES_AT = 3_000


def found_at(shift: float, over: int, seed: int) -> list[tuple[int, str]]:
    """After how many records a change of one signal, by `shift` deviations, was found, and where anything was."""
    rng = np.random.default_rng(seed)
    watch = Watch("ranker", NAMES)
    found = []
    for n in range(CHANGES_AT + over + 3_000):
        values = rng.normal(0.3, 0.2, len(NAMES))
        values[1] += shift * 0.2 * min(max((n - CHANGES_AT) / max(over, 1), 0.0), 1.0)
        found += [(n, one.signal) for one in watch.update(dict(zip(NAMES, values.tolist(), strict=True)), n)]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_an_abrupt_change_is_found_soon_and_nothing_else_is(seed: int) -> None:
    found = found_at(1.0, 0, seed)
    assert {signal for _, signal in found} == {"log_loss"}
    assert CHANGES_AT < found[0][0] < CHANGES_AT + 250


@pytest.mark.parametrize("seed", range(3))
def test_a_gradual_change_is_found_before_it_is_over(seed: int) -> None:
    found = found_at(1.0, 4_000, seed)
    assert {signal for _, signal in found} == {"log_loss"}
    assert CHANGES_AT < found[0][0] < CHANGES_AT + 4_000


def test_a_stationary_log_raises_no_alarm() -> None:
    assert found_at(0.0, 20_000, 1) == []


def test_a_signal_that_never_moved_is_found_when_it_does() -> None:
    watch, found = Watch("ranker", ("new",)), []
    for n in range(WARM_UP + 1_000):
        found += watch.update({"new": float(n >= WARM_UP + 500)}, n)
    assert len(found) == 1
    assert found[0].evidence["before"] == 0.0


def test_what_another_version_of_river_kept_begins_anew() -> None:
    watch = Watch("ranker", ("a",))
    for n in range(WARM_UP + 10):
        watch.update({"a": n % 2}, n)
    foreign = msgspec.structs.replace(watch.kept(), river="0.1")
    assert Watch("ranker", ("a",), foreign).kept().signals["a"].values == 0
    assert Watch("ranker", ("a",), watch.kept()).kept() == watch.kept()
