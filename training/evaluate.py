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
from training.dataset import Dataset
from training.lists import Lists
from training.metrics import METRICS, Interval, bootstrap, by_user, metrics
from training.policies import BLEND, STUDENT, Tops, covered, relevance, top_by, top_of_blend
from training.recording import FREQUENT

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
            "candidate_recall": self.ceiling.rounded(),
            "metrics": _rounded(self.values),
            "student_minus": _rounded(self.leads),
        }

    def best_source(self) -> str:
        """Return the single source with the best NDCG."""
        sources = [name for name in self.values if name not in (STUDENT, *REFERENCES)]
        return max(sources, key=lambda name: self.values[name][METRICS[1]].mean)

    def beats_best_source(self) -> bool:
        """Tell whether the student's lead over it is above zero in recall and NDCG, with its whole interval."""
        lead = self.leads[self.best_source()]
        return all(lead[name].low > 0 for name in METRICS[:2])


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
    values: dict[str, dict[str, NDArray[np.float64]]] = {}
    _, targets = relevance(lists, tops[BLEND], counted)
    some = chosen & (targets > 0)
    if not some.any():
        raise Misuse("nothing was bought in the visits of the split `test`")
    users, targets = lists.users[some], targets[some]
    for name, top in tops.items():
        relevant, _ = relevance(lists, top, counted)
        found = metrics(relevant[some], targets)
        values[name] = {metric: by_user(value, users) for metric, value in found.items()}
    student = values[STUDENT]
    leads = {name: {m: student[m] - value[m] for m in METRICS} for name, value in values.items() if name != STUDENT}
    ceiling = by_user(covered(lists, counted)[some] / targets, users)
    return Report(
        protocol=protocol,
        users=len(ceiling),
        visits=int(some.sum()),
        values={name: {m: bootstrap(value[m], seed) for m in METRICS} for name, value in values.items()},
        leads={name: {m: bootstrap(lead[m], seed) for m in METRICS} for name, lead in leads.items()},
        ceiling=bootstrap(ceiling, seed),
    )


def _rounded(values: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, list[float]]]:
    return {name: {m: interval.rounded() for m, interval in row.items()} for name, row in values.items()}
