"""Whether B is better than A, by the one metric that decides: both interval and test must agree that they differ.

The interval is a bootstrap's and may be too narrow for a handful of users; the test by sign flips hardly calls five
users or fewer significant. Half the interval's width is about what a true difference must be to be found
every other time.
"""

from typing import Any

from streams.evaluation.intervals import Paired
from streams.evaluation.summary import DIGITS

ALPHA = 0.05
"""The share of comparisons of equally good configurations that may find a difference."""
BETTER, WORSE, NONE = "better", "worse", "none"


def decide(metric: str, found: Paired, other_slates: float) -> dict[str, Any]:
    """Return `{"metric", "b_is", "detectable", "sentence"}`; `other_slates` is the share of slates that differ.

    >>> decide("ndcg", Paired(0.02, 0.01, 0.03, 0.001), 0.5)["sentence"]
    'B is better than A: ndcg +0.0200, 95 % interval +0.0100 to +0.0300, p = 0.001'
    """
    b_is = NONE
    if found.p_value < ALPHA and (found.low > 0 or found.high < 0):
        b_is = BETTER if found.low > 0 else WORSE
    detectable = (found.high - found.low) / 2
    return {
        "metric": metric,
        "b_is": b_is,
        "detectable": round(detectable, DIGITS),
        "sentence": _sentence(metric, b_is, found, detectable, other_slates),
    }


def _sentence(metric: str, b_is: str, found: Paired, detectable: float, other_slates: float) -> str:
    if not other_slates:
        return "no difference found: A and B show the same slates"
    told = f"{metric} {found.difference:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}, {_p(found.p_value)}"
    if b_is != NONE:
        return f"B is {b_is} than A: {told}"
    if not detectable:
        return f"no difference found: {metric} is the same for every user, though some slates differ"
    return f"no difference found: {told}; one below about {detectable:.4f} would hardly show on this log"


def _p(p_value: float) -> str:
    return f"p = {p_value:.3f}"
