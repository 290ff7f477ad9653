"""From probabilities to the k items of a slate: the expected worth of showing an item, best first or explored."""

import numpy as np
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.contracts.slates import SlateItem
from streams.features.encode import Candidates
from streams.features.item import Catalogue
from streams.ordering import best_first
from streams.slate.explain import reason
from streams.slate.explore import Exploration, explore

HEAD_WORTH = {"click": 0.1, "cart": 0.3, "purchase": 1.0}
"""What a click, a cart and a purchase are worth to the shop, relative to each other."""
_WORTH = np.array([HEAD_WORTH[head] for head in HEADS]) / sum(HEAD_WORTH.values())
_DIGITS = 6


def worth(p: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the score (K,) of candidates with probabilities `p` (K, H), both in [0, 1]."""
    score: NDArray[np.float64] = np.round(p.astype(np.float64) @ _WORTH, _DIGITS)
    return score


def select(
    candidates: Candidates,
    scores: NDArray[np.float64],
    p: NDArray[np.float32] | None,
    *,
    k: int,
    catalogue: Catalogue,
    source_names: list[str],
    exploration: Exploration | None = None,
    seen: NDArray[np.float64] | None = None,
    slate_id: str = "",
) -> list[SlateItem]:
    """Return the `k` best of K candidates by `scores` (K,), ties by digest; `p` (K, H) if a ranker gave them.

    With an `exploration` some slots are drawn by the slate's id. The evidence for an item is how often people went for
    it, and how often they have `seen` (K,) it, if a learner knows.
    """
    digests = catalogue.digest[candidates.items]
    if exploration is None:
        best = best_first(scores, digests, k)
        propensities = np.ones(len(best))
    else:
        evidence = np.expm1(candidates.log_popular) + (0.0 if seen is None else seen)
        best, propensities = explore(scores, evidence, digests, k, exploration, slate_id)
    rows = zip(
        candidates.items[best].tolist(),
        scores[best].tolist(),
        candidates.sources[best].tolist(),
        candidates.because[best].tolist(),
        propensities.tolist(),
        [None] * len(best) if p is None else np.round(p[best].astype(np.float64), _DIGITS).tolist(),
        strict=True,
    )
    return [
        SlateItem(
            item_id=catalogue.ids[item],
            score=score,
            source=source_names[source],
            reason=reason(source_names[source], because, catalogue),
            propensity=propensity,
            p=None if chances is None else dict(zip(HEADS, chances, strict=True)),
        )
        for item, score, source, because, propensity, chances in rows
    ]
