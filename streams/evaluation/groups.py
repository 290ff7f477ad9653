"""The same figures by group: of users by how much is known of them, of items by how popular they are. Pure."""

from collections.abc import Mapping, Sequence

import numpy as np

from streams.evaluation.base import Case
from streams.evaluation.metrics import METRICS, Values

LIGHT = 10
"""Items of history up to which a user is light; nothing at all: new; more: heavy."""
HEAD_SHARE = 0.5
"""The most popular items that together got this share of all signals are the head; never met: cold; others: tail."""


def user_group(case: Case) -> str:
    """Return `new`, `light` or `heavy`."""
    known = len(case.history)
    return "new" if not known else "light" if known <= LIGHT else "heavy"


def by_user_group(values: Mapping[str, Values], cases: Sequence[Case]) -> dict[str, dict[str, float]]:
    """Return the mean of each metric (N,), and the number of cases, by the group of the case's user."""
    groups = np.array([user_group(case) for case in cases])
    return {
        group: {"cases": int((groups == group).sum())}
        | {name: round(float(values[name][groups == group].mean()), 6) for name in METRICS}
        for group in ("new", "light", "heavy")
        if (groups == group).any()
    }


def item_groups(popularity: Mapping[str, int]) -> dict[str, str]:
    """Return `head` or `tail` of every item that was met; all others are cold."""
    met = sorted((item for item, count in popularity.items() if count), key=lambda item: (-popularity[item], item))
    total, so_far, groups = sum(popularity.values()), 0, {}
    for item in met:
        groups[item] = "head" if so_far < HEAD_SHARE * total else "tail"
        so_far += popularity[item]
    return groups


def by_item_group(
    rankings: Sequence[Sequence[str]], cases: Sequence[Case], popularity: Mapping[str, int], k: int
) -> dict[str, dict[str, float]]:
    """Return which share of the targets of each group was recommended (`recall`), and how many targets there were."""
    groups = item_groups(popularity)
    wanted: dict[str, int] = {}
    found: dict[str, int] = {}
    for ranking, case in zip(rankings, cases, strict=True):
        shown = set(ranking[:k])
        for item in set(case.targets):
            group = groups.get(item, "cold")
            wanted[group] = wanted.get(group, 0) + 1
            found[group] = found.get(group, 0) + (item in shown)
    return {
        group: {"targets": wanted[group], "recall": round(found[group] / wanted[group], 6)}
        for group in ("head", "tail", "cold")
        if group in wanted
    }
