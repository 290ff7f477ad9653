"""Compares the student with every simpler way of choosing ten items, on baskets that it never learned from.

Two protocols on the split `test`. FIRST: each user's first visit on or after its first day, which is how Complete
Journey is usually split. ALL: every visit of the split, averaged by user. Targets are the different items bought in a
visit; COMMON_FROM restricts them, as published prototypes do, to items that enough baskets held before the split.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.errors import Misuse
from streams.evaluation.intervals import Interval, by_user, intervals
from streams.evaluation.metrics import Values, from_relevance
from training.dataset import Dataset
from training.lists import TOP, Lists
from training.policies import BLEND, STUDENT, Tops, covered, relevance, top_by, top_of_blend
from training.recording import FREQUENT

METRICS = {f"recall@{TOP}": "recall", f"ndcg@{TOP}": "ndcg", f"hit@{TOP}": "hit_rate"}
"""What is reported, and its name in `streams/evaluation`."""
RECALL, NDCG, _ = METRICS
COMMON_FROM = 10
"""Baskets that must have held an item before the test, for it to be a target."""
REFERENCES = (BLEND, FREQUENT)
"""What the student is compared with, beside every single source."""


@dataclass(frozen=True, slots=True)
class Report:
    """Metrics by policy, and the student's lead over each other policy, of one protocol."""

    protocol: str
    users: int
    visits: int
    values: Mapping[str, Mapping[str, Interval]]
    leads: Mapping[str, Mapping[str, Interval]]
    ceiling: Interval

    def as_json(self) -> dict[str, Any]:
        """Return it for a manifest: [mean, low, high], 95 %."""
        return {
            "users": self.users,
            "visits": self.visits,
            "candidate_recall": rounded(self.ceiling),
            "metrics": _rounded(self.values),
            "student_minus": _rounded(self.leads),
        }

    def best_source(self) -> str:
        """Return the single source with the best NDCG."""
        sources = [name for name in self.values if name not in (STUDENT, *REFERENCES)]
        return max(sources, key=lambda name: self.values[name][NDCG].mean)

    def beats_best_source(self) -> bool:
        """Tell whether the student's lead over it is above zero in recall and NDCG, with its whole interval."""
        lead = self.leads[self.best_source()]
        return all(lead[name].low > 0 for name in (RECALL, NDCG))


def evaluate(dataset: Dataset, lists: Lists, p: NDArray[np.float32], seed: int) -> list[Report]:
    """Return a report for each protocol, from the student's p (R, H) of test lists.

    Raises:
        Misuse: nobody bought anything in them.
    """
    common = dataset.purchases_before_test() >= COMMON_FROM
    tops: dict[str, Tops] = {STUDENT: top_by(lists, p), BLEND: top_of_blend(lists)}
    names: list[str] = list(dataset.meta["list_names"])
    tops |= {name: lists.tops[:, row] for row, name in enumerate(names)}
    first = np.zeros(len(lists), bool)
    order = np.lexsort((lists.times, lists.users))
    first[order[np.unique(lists.users[order], return_index=True)[1]]] = True
    within = lists.times < dataset.end_of_test()
    return [
        _report("first visit, common items", lists, tops, first, common, seed),
        _report("first visit, all items", lists, tops, first, None, seed),
        _report("all visits of the split, all items", lists, tops, within, None, seed),
    ]


def _report(
    protocol: str,
    lists: Lists,
    tops: Mapping[str, Tops],
    chosen: NDArray[np.bool_],
    counted: NDArray[np.bool_] | None,
    seed: int,
) -> Report:
    values: dict[str, dict[str, Values]] = {}
    _, targets = relevance(lists, tops[BLEND], counted)
    some = chosen & (targets > 0)
    if not some.any():
        raise Misuse("nothing was bought in the visits of the split `test`")
    users, targets = lists.users[some], targets[some]
    for name, top in tops.items():
        relevant, _ = relevance(lists, top, counted)
        found = from_relevance(relevant[some], targets)
        values[name] = {metric: by_user(found[theirs], users) for metric, theirs in METRICS.items()}
    student = values[STUDENT]
    leads = {name: {m: student[m] - value[m] for m in METRICS} for name, value in values.items() if name != STUDENT}
    ceiling = by_user(covered(lists, counted)[some] / targets, users)
    each = np.unique(users).astype(str).tolist()
    return Report(
        protocol=protocol,
        users=len(ceiling),
        visits=int(some.sum()),
        values={name: intervals(value, each, seed) for name, value in values.items()},
        leads={name: intervals(lead, each, seed) for name, lead in leads.items()},
        ceiling=intervals({RECALL: ceiling}, each, seed)[RECALL],
    )


def _rounded(values: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, list[float]]]:
    return {name: {m: rounded(interval) for m, interval in row.items()} for name, row in values.items()}


def rounded(interval: Interval) -> list[float]:
    """Return mean, low and high for a manifest."""
    return [round(interval.mean, 4), round(interval.low, 4), round(interval.high, 4)]
