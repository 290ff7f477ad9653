"""Finds the heuristic's parameters on the last part of a log before the split: a search one parameter at a time.

Deterministic. Two parameters shape the counts (the power of the distance, and whether counts decay with half of the
log's length), so each of their settings learns the log once; all others only rank anew.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.heuristic import Heuristic, Parameters
from streams.evaluation.metrics import measure

MAX_CASES = 12_000
"""Validation cases at most, drawn at random; more find the better of two close settings more often."""
ROUNDS = 2
_DAY_MS = 86_400_000.0
_POWERS = (0.5, 1.0)
_STARTS: tuple[dict[str, float], ...] = (
    {"beta": 0.4, "a": 0.3, "b": 0.1, "g": 0.7, "damp": 0.8, "bonus": 0.0},
    {"beta": 0.6, "a": 0.8, "b": 0.4, "g": 0.7, "damp": 1.0, "bonus": 0.1},
    {"beta": 0.6, "a": 0.3, "b": 0.4, "g": 0.9, "damp": 0.8, "bonus": 1_000.0},
)
"""Where a search may begin: wandering tastes, short sessions, the same goods again."""
_GRID: dict[str, tuple[float, ...]] = {
    "beta": (0.1, 0.25, 0.4, 0.6, 1.0),
    "g": (0.5, 0.6, 0.7, 0.8, 0.9),
    "b": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "a": (0.0, 0.3, 0.5, 0.8),
    "damp": (0.65, 0.8, 1.0),
    "bonus": (0.0, 0.01, 0.1, 1.0, 1_000.0),
}


def fit_heuristic(signals: Callable[[], Iterable[Signal]], cases: Sequence[Case], k: int, seed: int) -> Parameters:
    """Return the parameters with the best NDCG@k on `cases`, having learned `signals()`, which come before them.

    `signals` is called several times; each call begins anew.
    """
    if not cases:
        return Parameters()
    drawn = np.random.default_rng(seed).permutation(len(cases))[:MAX_CASES]
    sample = [cases[place] for place in sorted(drawn.tolist())]
    span_days = _span_days(signals())
    best, chosen = -1.0, Heuristic(Parameters())
    for power, decays in product(_POWERS, (False, True)):
        policy = _learned(
            Parameters(
                p=power,
                half_life_days=span_days / 2 if decays else 0.0,
                own_half_life_days=span_days / 3 if decays else 0.0,
            ),
            signals,
        )
        value, policy.parameters = max(
            ((_value(policy, started, sample, k), started) for started in _starts(policy.parameters)),
            key=lambda pair: pair[0],
        )
        if value > best:
            best, chosen = value, policy
    return _search(chosen, best, sample, k)


def _starts(parameters: Parameters) -> list[Parameters]:
    return [replace(parameters, **start) for start in _STARTS]


def _learned(parameters: Parameters, signals: Callable[[], Iterable[Signal]]) -> Heuristic:
    policy = Heuristic(parameters)
    for signal in signals():
        policy.learn(signal)
    return policy


def _search(policy: Heuristic, best: float, cases: Sequence[Case], k: int) -> Parameters:
    """Return the best parameters, the counts of `policy` being what they are; it begins with `best` at its own."""
    parameters = policy.parameters
    for _ in range(ROUNDS):
        before = parameters
        for name, values in _GRID.items():
            for value in values:
                changed = replace(parameters, **{name: value})
                if changed != parameters and (reached := _value(policy, changed, cases, k)) > best:
                    best, parameters = reached, changed
        if parameters == before:
            break
    return parameters


def _value(policy: Heuristic, parameters: Parameters, cases: Sequence[Case], k: int) -> float:
    policy.parameters = parameters
    return float(measure([policy.rank(case, k) for case in cases], cases, k)["ndcg"].mean())


def _span_days(signals: Iterable[Signal]) -> float:
    first = last = None
    for signal in signals:
        first = signal.at_ms if first is None else min(first, signal.at_ms)
        last = signal.at_ms if last is None else max(last, signal.at_ms)
    return 0.0 if first is None or last is None else max((last - first) / _DAY_MS, 1e-6)
