"""Co-occurrence and the heuristic once more, from their formulas, slowly, with dicts: what the fast ones must equal."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines import Parameters
from tests.unit.evaluation.logs import DAY_MS, histories

Scores = dict[str, float]


def cooccurrence(log: Sequence[Signal], history: Sequence[str]) -> Scores:
    """Return the score of every item that lay near one of the last ten of `history`."""
    near: dict[tuple[str, str], float] = defaultdict(float)
    for items in histories(log).values():
        for later, b in enumerate(items):
            for earlier in range(max(0, later - 3), later):
                a = items[earlier]
                if a != b:
                    near[a, b] += 1 / (later - earlier)
                    near[b, a] += 1 / (later - earlier)
    scores: Scores = defaultdict(float)
    for back, i in enumerate(reversed(history[-10:])):
        for (a, b), strength in near.items():
            if a == i:
                scores[b] += 0.8**back * strength
    return dict(scores)


class Pair(NamedTuple):
    """That `user` came from one item to another, so many places later, at that time."""

    before: str
    after: str
    distance: int
    at_ms: int


def heuristic(log: Sequence[Signal], case: Case, parameters: Parameters) -> Scores:
    """Return the score of every item by the formula of `Heuristic`; counts decay until the log's end."""
    forward: dict[tuple[str, str], float] = defaultdict(float)
    now_ms = max(signal.at_ms for signal in log)
    for pair in _pairs(log):
        decayed = _decayed(now_ms - pair.at_ms, parameters.half_life_days)
        forward[pair.before, pair.after] += decayed / pair.distance**parameters.p
    counts = Counter(signal.item_id for signal in log)
    scores: Scores = defaultdict(float)
    for back, i in enumerate(list(dict.fromkeys(reversed(case.history)))[:20]):
        for j in counts:
            strength = forward.get((i, j), 0.0) + parameters.beta * forward.get((j, i), 0.0)
            if strength:
                normal = (counts[i] + 1) ** parameters.a * (counts[j] + 1) ** parameters.b
                scores[j] += parameters.g**back * strength**parameters.damp / normal
    for item, weight in _own(log, case, parameters, now_ms).items():
        scores[item] += parameters.bonus * weight
    return {item: score for item, score in scores.items() if score}


def ranked(scores: Mapping[str, float], log: Sequence[Signal], masked: frozenset[str]) -> list[tuple[float, int]]:
    """Return score and count of all items of the log that aren't masked, best first: ties of both are in any order."""
    counts = Counter(signal.item_id for signal in log)
    return sorted(((scores.get(item, 0.0), n) for item, n in counts.items() if item not in masked), reverse=True)


def _pairs(log: Sequence[Signal]) -> list[Pair]:
    by_user: dict[str, list[Signal]] = defaultdict(list)
    for signal in log:
        by_user[signal.user_id].append(signal)
    return [
        Pair(of_user[earlier].item_id, last.item_id, later - earlier, last.at_ms)
        for of_user in by_user.values()
        for later, last in enumerate(of_user)
        for earlier in range(max(0, later - 20), later)
        if of_user[earlier].item_id != last.item_id
    ]


def _own(log: Sequence[Signal], case: Case, parameters: Parameters, now_ms: int) -> Scores:
    """Return the decayed number of the user's baskets with each item; what nobody learned was just now."""
    asked_ms = max(case.at_ms, now_ms)
    baskets = {(s.basket, s.item_id): s.at_ms for s in log if s.user_id == case.user_id}
    own: Scores = defaultdict(float)
    for (_, item), at_ms in baskets.items():
        own[item] += _decayed(asked_ms - at_ms, parameters.own_half_life_days)
    met = {signal.item_id for signal in log}
    for item in case.history[len(case.history) - case.unlearned :]:
        if item in met:
            own[item] += 1.0
    return own


def _decayed(age_ms: int, half_life_days: float) -> float:
    return math.exp2(-age_ms / DAY_MS / half_life_days) if half_life_days else 1.0
