"""What accuracy doesn't tell: how much of the catalogue is shown, how alike, how obvious. Pure.

coverage         share of the catalogue in any of the rankings                       (Herlocker et al., TOIS 2004)
diversity        mean share of a list's pairs that lie in different categories       (Ziegler et al., WWW 2005)
novelty          mean of -log2 of an item's share of all signals                     (Vargas and Castells, RecSys 2011)
popularity_bias  mean count of what is shown / mean count of what is in the catalogue (Abdollahpouri et al., 2019)

A list without pairs has no diversity. An item without signals counts as half a signal in `novelty`.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np


def beyond(
    rankings: Sequence[Sequence[str]], popularity: Mapping[str, int], categories: Mapping[str, str], k: int
) -> dict[str, float]:
    """Return the measures of the module; `diversity` only if a list has two items with `categories`.

    `popularity` counts the signals of every item of the catalogue.
    """
    shown = [item for ranking in rankings for item in ranking[:k]]
    if not shown or not popularity:
        return {}
    total = sum(popularity.values())
    counts = np.array([popularity.get(item, 0) for item in shown], np.float64)
    found = {
        "coverage": len(set(shown) & popularity.keys()) / len(popularity),
        "novelty": float(np.mean(-np.log2(np.maximum(counts, 0.5) / max(total, 1)))),
        "popularity_bias": float(counts.mean() / max(total / len(popularity), 1e-9)),
    }
    shares = [_different(ranking[:k], categories) for ranking in rankings] if categories else []
    if paired := [share for share in shares if share is not None]:
        found["diversity"] = float(np.mean(paired))
    return found


def _different(ranking: Sequence[str], categories: Mapping[str, str]) -> float | None:
    known = [categories[item] for item in ranking if item in categories]
    pairs = [a != b for a, b in combinations(known, 2)]
    return sum(pairs) / len(pairs) if pairs else None
