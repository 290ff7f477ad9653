"""A canary's slates against the champion's: a sequential test that may be looked at after every record. Pure.

For clicks and for purchases, d is the rate of slates with one at the canary less that at the champion, and V its
estimated variance. The interval

    d +- sqrt(V (V + t^2) / t^2 * (2 log(1 / a) + log((V + t^2) / V)))

holds at all times at once with probability 1 - a: it inverts the mixture sequential probability ratio test with a
normal mixture of scale t (Robbins, 1970; Johari, Koomen, Pekelis and Walsh, "Peeking at A/B Tests", KDD 2017; here
with estimated variances, asymptotically, as Waudby-Smith et al., "Time-uniform central limit theory", 2021).

A user's slates are alike, so V is taken between users (hashed into BUCKETS), not between slates; it is never below what
slates of the common rate would have, since an arm without a hit yet knows no variance. Whoever the hash
gives to the canary counts for it, whatever ranked in the end: a canary that doesn't answer in time is judged for it.
"""

from dataclasses import dataclass
from hashlib import blake2b
from math import log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

METRICS = ("clicks", "purchases")
BUCKETS = 1_024
"""Groups of users an arm; bounds memory. Fewer: a less sure variance."""
LEAST_USERS = 30
"""Groups with a user that each arm must have: between ten, a variance says too little, and between two nothing."""
CHAMPION, CANARY = 0, 1
_SHOWN = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """When the comparison ends. All intervals hold together with probability 1 - `alpha`, however long it runs.

    Promoted: surely less than `click_margin` and `purchase_margin` worse, as shares of the champion's rates. Rolled
    back: surely worse in one of them, or undecided after `most_slates` of the canary. Neither before `least_slates`.
    """

    alpha: float
    click_margin: float
    purchase_margin: float
    least_slates: int
    most_slates: int


@dataclass(frozen=True, slots=True)
class Interval:
    """How much higher a rate of the canary is, as a share of the champion's `rate`: estimate and bounds."""

    rate: float
    lift: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the records so far say, and by what; intervals by metric, where there is one."""

    answer: Literal["running", "promote", "roll back"]
    why: str
    slates: tuple[int, int]
    intervals: dict[str, Interval]

    def metrics(self) -> dict[str, float]:
        """Return the evidence by name, as events and tables have it."""
        found = {"canary slates": float(self.slates[CANARY]), "champion slates": float(self.slates[CHAMPION])}
        for name, one in self.intervals.items():
            found |= {f"{name} rate of champion": one.rate, f"{name} lift": one.lift}
            found |= {f"{name} lift low": one.low, f"{name} lift high": one.high}
        return found


class Tally:
    """Slates, slates with a click (or more) and slates with a purchase: `counts` (2 arms, BUCKETS, 3)."""

    def __init__(self, counts: NDArray[np.int64] | None = None) -> None:
        self.counts = np.zeros((2, BUCKETS, 1 + len(METRICS)), np.int64) if counts is None else counts

    def add(self, user_id: str, arm: int, *, clicked: bool, bought: bool) -> None:
        """Count one slate of a user."""
        bucket = int.from_bytes(blake2b(user_id.encode(), digest_size=4, salt=b"tally").digest(), "big") % BUCKETS
        self.counts[arm, bucket] += (1, clicked, bought)

    def verdict(self, rules: Rules) -> Verdict:
        """Return what is known now."""
        slates = self.counts[:, :, _SHOWN].sum(axis=1)
        shown = int(slates[CHAMPION]), int(slates[CANARY])
        if min(shown) < rules.least_slates:
            return Verdict("running", f"{min(shown)} of at least {rules.least_slates} slates", shown, {})
        margins = dict(zip(METRICS, (rules.click_margin, rules.purchase_margin), strict=True))
        intervals = {
            name: found
            for head, (name, margin) in enumerate(margins.items(), start=1)
            if (found := self._interval(head, margin, rules.alpha / len(METRICS))) is not None
        }
        answer, why = _judge(intervals, margins, shown[CANARY], rules)
        return Verdict(answer, why, shown, intervals)

    def _interval(self, head: int, margin: float, alpha: float) -> Interval | None:
        """Return the interval of one metric; None while an arm has too few users, or the champion has none of it."""
        if np.count_nonzero(self.counts[:, :, _SHOWN], axis=1).min() < LEAST_USERS:
            return None
        (rate, spread), (other, other_spread) = (_rate(arm[:, _SHOWN], arm[:, head]) for arm in self.counts)
        slates = self.counts[:, :, _SHOWN].sum(axis=1)
        pooled = self.counts[:, :, head].sum() / slates.sum()
        # Where hits are rare an arm may have none yet, and would seem to be sure of that.
        least = pooled * (1 - pooled) / slates
        variance = max(spread, least[CHAMPION]) + max(other_spread, least[CANARY])
        if not rate or not variance:
            return None
        wide = (margin * rate) ** 2  # the scale at which it is narrowest when it decides
        radius = sqrt(variance * (variance + wide) / wide * (2 * log(1 / alpha) + log((variance + wide) / variance)))
        lift = (other - rate) / rate
        return Interval(rate, lift, lift - radius / rate, lift + radius / rate)


def _rate(shown: NDArray[np.int64], hits: NDArray[np.int64]) -> tuple[float, float]:
    """Return the ratio of sums over buckets (BUCKETS,), and its variance by the delta method, buckets independent."""
    total = shown.sum()
    rate = hits.sum() / total
    used = np.count_nonzero(shown)
    residuals = hits - rate * shown
    return float(rate), float((residuals**2).sum() / total**2 * used / (used - 1))


def _judge(
    intervals: dict[str, Interval], margins: dict[str, float], slates: int, rules: Rules
) -> tuple[Literal["running", "promote", "roll back"], str]:
    worse = [name for name, one in intervals.items() if one.high < 0]
    if worse:
        one = intervals[worse[0]]
        return "roll back", f"{worse[0]} are lower by {-one.lift:.1%} (at least {-one.high:.1%})"
    if len(intervals) == len(margins) and all(one.low > -margins[name] for name, one in intervals.items()):
        told = ", ".join(f"{name} {one.lift:+.1%} (at least {one.low:+.1%})" for name, one in intervals.items())
        return "promote", told
    if slates >= rules.most_slates:
        return "roll back", f"undecided after {slates} slates"
    return "running", "undecided"
