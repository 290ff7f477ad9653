"""The score board: each served slate, and what the baselines said at that point, against the basket that followed."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from streams.demo.baselines import Baseline, PersonalFrequency, Popular
from streams.demo.journey import Basket, Line
from streams.demo.listen import Received
from streams.evaluation.base import Case
from streams.evaluation.intervals import RESAMPLES, by_user, paired
from streams.evaluation.metrics import Values, measure

STREAMRANK = "streamrank"
MEASURES = ("hit_rate", "recall", "ndcg")
BOUNDED = ("recall", "ndcg")
PROTOCOL = (
    "a request before each basket of the {weeks} weeks from 2017-11-01 on, {households:,} of {drawn:,} households "
    "drawn with seed {seed}; the slate of {k} items against the different items of that basket; all items ever "
    "sold are candidates; mean per household, then over households; a gain is Streamrank's lead, the lower end of its "
    "95 % interval by a paired bootstrap over households ({resamples:,} resamples)"
)


@dataclass(slots=True)
class Asked:
    """A request that was sent: when (`time.perf_counter`, s), and what the baselines would have shown."""

    at_s: float
    basket: Basket
    baselines: dict[str, list[str]]
    latency_ms: float | None = None
    """None: not answered yet."""
    served_by: str | None = None


class Board:
    """Point in time: `asked` before the basket's lines go out, `learn` of each line after it."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.latencies_ms: list[float] = []
        self.served_by: Counter[str] = Counter()
        self.models: Counter[str] = Counter()
        self.hits = 0
        self.blended = 0
        """Slates whose scores the online model had a say in."""
        self.snapshot = 0
        """The latest version of it that a slate names."""
        self.first_s = self.last_s = 0.0
        self._baselines: dict[str, Baseline] = {"popular": Popular(k), "personal_frequency": PersonalFrequency(k)}
        self._asked: dict[str, Asked] = {}
        self._baskets: list[Basket] = []  # those with a slate, (N,)
        self._rankings: dict[str, list[list[str]]] = defaultdict(list)  # policy -> (N,)

    @property
    def requested(self) -> int:
        """Requests sent."""
        return len(self._asked)

    @property
    def served(self) -> int:
        """Requests answered."""
        return len(self.latencies_ms)

    @property
    def households(self) -> int:
        """Households with a slate."""
        return len({basket.user_id for basket in self._baskets})

    def learn(self, line: Line) -> None:
        """Let the baselines take in a purchase."""
        for baseline in self._baselines.values():
            baseline.learn(line)

    def asked(self, request_id: str, basket: Basket, clock: Callable[[], float]) -> None:
        """Note a request that goes out now, before its basket."""
        said = {name: baseline.top(basket.user_id) for name, baseline in self._baselines.items()}
        self._asked[request_id] = Asked(clock(), basket, said)
        self.first_s = self.first_s or self._asked[request_id].at_s

    def answered(self, received: Received) -> Basket | None:
        """Take in a slate and return the basket it is for; one that nobody asked for, or a repeat, changes nothing."""
        slate, at_s = received
        asked = self._asked.get(slate.request_id or "")
        if asked is None or asked.latency_ms is not None:
            return None
        self.last_s = at_s
        asked.latency_ms, asked.served_by = (at_s - asked.at_s) * 1e3, slate.served_by
        self.latencies_ms.append(asked.latency_ms)
        self.served_by[slate.served_by] += 1
        self.models[slate.model or "none"] += 1
        if slate.online is not UNSET:
            self.blended, self.snapshot = self.blended + 1, max(self.snapshot, slate.online)
        mine = [item.item_id for item in slate.items]
        self.hits += not asked.basket.items.isdisjoint(mine[: self.k])
        self._baskets.append(asked.basket)
        for policy, ranking in {STREAMRANK: mine, **asked.baselines}.items():
            self._rankings[policy].append(ranking)
        return asked.basket

    def between(self, from_s: float, to_s: float) -> tuple[int, list[float]]:
        """Of the requests sent in [from_s, to_s): how many no ranker answered, and the latencies of the others (ms)."""
        asked = [one for one in self._asked.values() if from_s <= one.at_s < to_s]
        ranked = [one.latency_ms for one in asked if one.latency_ms is not None and one.served_by == "triton"]
        return len(asked) - len(ranked), ranked

    def quality(self, seed: int, **told: Any) -> dict[str, Any]:
        """Return the comparison; {} of policies if nothing was served. `told` completes the protocol's sentence."""
        said = {"households": self.households, "seed": seed, "k": self.k, "resamples": RESAMPLES, **told}
        result: dict[str, Any] = {"protocol": PROTOCOL.format(**said), "k": self.k, "households": self.households}
        if not self.households:
            return result
        values = self._by_household()
        for policy, row in values.items():
            result[policy] = {name: round(float(value.mean()), 4) for name, value in row.items()}
        mine, each = values.pop(STREAMRANK), [str(n) for n in range(self.households)]
        result["lower_bounds"] = {
            policy: {name: round(paired(mine[name], theirs[name], each, seed).low, 4) for name in BOUNDED}
            for policy, theirs in values.items()
        }
        return result

    def _by_household(self) -> dict[str, dict[str, Values]]:
        """Return each policy's means over each household's baskets, (U,), by measure."""
        users = [basket.user_id for basket in self._baskets]
        cases = [Case(basket.user_id, basket.at_ms, (), tuple(basket.items)) for basket in self._baskets]
        found = {policy: measure(rankings, cases, self.k) for policy, rankings in self._rankings.items()}
        return {policy: {name: by_user(row[name], users) for name in MEASURES} for policy, row in found.items()}
