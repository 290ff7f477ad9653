"""Finds the heuristic's parameters on the last part of a log before the split: a search one parameter at a time.

Deterministic, and bounded: what a setting costs is the neighbours that are scored for it, so where histories have many,
fewer cases are drawn. Two parameters shape the counts (the power of the distance, and whether counts decay with half of
the log's length); the log is learned once, in all these ways together. All others only rank anew.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines.habits import Habits
from streams.evaluation.baselines.heuristic import with_own
from streams.evaluation.baselines.parameters import Parameters
from streams.evaluation.baselines.rows import Rows
from streams.evaluation.metrics import measure

MAX_CASES = 12_000
"""Validation cases at most, drawn at random; more find the better of two close settings more often."""
MAX_NEIGHBOURS = 120_000_000
"""Neighbours of their histories' items at most, in all cases together: a second or so a setting."""
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

    `signals` is called twice; each call begins anew.
    """
    if not cases:
        return Parameters()
    ways = _ways(signals(), cases)
    habits = Habits(ways, kept_as=np.float32)
    for signal in signals():
        habits.learn(signal)
    sample = drawn(cases, habits, np.random.default_rng(seed))
    best, chosen, parameters = -1.0, None, Parameters()
    for way in range(len(ways)):
        trial = Trial(habits, way, ways[way], sample, k)
        for start in _STARTS:
            started = replace(ways[way], **start)
            if (value := trial.ndcg(started)) > best:
                best, chosen, parameters = value, trial, started
    return parameters if chosen is None else _search(chosen, best, parameters)


def _ways(signals: Iterable[Signal], cases: Sequence[Case]) -> list[Parameters]:
    """Return the ways of counting: with each power, without decay and with one by the time up to the latest case."""
    latest_ms = max(case.at_ms for case in cases)
    first = next(iter(signals), None)
    days = max((latest_ms - (first.at_ms if first else latest_ms)) / _DAY_MS, 1e-6)
    plain = [Parameters(p=power) for power in _POWERS]
    return plain + [replace(way, half_life_days=days / 2, own_half_life_days=days / 3) for way in plain]


def drawn(cases: Sequence[Case], habits: Habits, generator: np.random.Generator) -> list[Case]:
    """Draw cases at random, as many as both bounds allow, and one at least; in their order."""
    order = generator.permutation(len(cases))[:MAX_CASES].tolist()
    neighbours = np.cumsum([habits.neighbours(cases[place]) for place in order])
    size = max(1, int(np.searchsorted(neighbours, MAX_NEIGHBOURS, side="right")))
    return [cases[place] for place in sorted(order[:size])]


class Trial:
    """One way of counting on some cases: what those need of it, to be ranked by any other parameters."""

    def __init__(self, habits: Habits, way: int, counted: Parameters, cases: Sequence[Case], k: int) -> None:
        histories = [habits.history(case) for case in cases]
        seeds = np.unique(np.concatenate(histories))
        seeds = seeds[seeds >= 0]
        self._rows = Rows(habits.pairs, way, habits.scale(counted.half_life_days), seeds, habits.items.counts)
        self._histories = [_places(history, seeds) for history in histories]
        self._own = [habits.own(case, counted.own_half_life_days) for case in cases]
        self._items, self._cases, self._k = habits.items, cases, k
        self._scores = np.zeros(len(habits.items.counts))

    def ndcg(self, parameters: Parameters) -> float:
        """Return the mean NDCG@k."""
        self._rows.prepare(parameters)
        rankings = []
        for case, history, own in zip(self._cases, self._histories, self._own, strict=True):
            found = self._rows.score(history, parameters.g, self._scores)
            if parameters.bonus:
                found = with_own(found, *own, parameters.bonus, self._scores)
            rankings.append(self._items.ranked(found, self._scores, case, self._k))
        return float(measure(rankings, self._cases, self._k)["ndcg"].mean())


def _places(history: NDArray[np.int64], seeds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each item of a history is among ascending seeds, -1 for one that isn't."""
    places = np.searchsorted(seeds, history)
    there = np.append(seeds, -2)[places] == history
    return np.where(there, places, -1)


def _search(trial: Trial, best: float, parameters: Parameters) -> Parameters:
    """Return the best parameters, the counts being what they are; `best` is what the given ones reach."""
    for _ in range(ROUNDS):
        before = parameters
        for name, values in _GRID.items():
            for value in values:
                changed = replace(parameters, **{name: value})
                if changed != parameters and (reached := trial.ndcg(changed)) > best:
                    best, parameters = reached, changed
        if parameters == before:
            break
    return parameters
