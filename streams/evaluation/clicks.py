"""How good the chances of a click are that the ranker, the online model and their blend say of a log of feedback.

Prequential: every record is judged before it is learned, by a learner that begins with the log (Dawid, JRSS A 147,
1984). Records that no ranker scored are learned and not judged. Users are the unit of the bootstrap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.contracts.slates import Feedback
from streams.errors import Misuse
from streams.evaluation.intervals import Interval, Paired, intervals, paired
from streams.evaluation.probability import ece
from streams.online.learner import Learner
from streams.online.model import log_loss

WHO = ("ranker", "online", "blend")
_RESAMPLES = 200
"""Of the calibration error, which is no mean: each costs a sort."""


@dataclass(frozen=True, slots=True)
class Clicks:
    """What came out: `log_loss` (nats) and calibration error of each of WHO, and the blend's loss less each other's."""

    records: int
    shown: int
    clicked: int
    log_loss: Mapping[str, Interval]
    ece: Mapping[str, Interval]
    blend_less: Mapping[str, Paired]


def prequential(records: Iterable[Feedback], seed: int = 1, learner: Learner | None = None) -> Clicks:
    """Judge and learn records in their order; deterministic. `learner` is a new one if it isn't named.

    Raises:
        Misuse: no ranker scored any of them.
    """
    learner = learner or Learner("ranker")
    users: list[str] = []
    labels: list[NDArray[np.bool_]] = []
    said: dict[str, list[NDArray[np.float64]]] = {name: [] for name in WHO}
    for record in records:
        judged = learner.take(record)
        if judged is None or judged.ranker is None:
            continue
        labels.append(judged.clicked)
        users += [record.user_id] * len(judged.clicked)
        for name, chances in zip(WHO, (judged.ranker, judged.online, judged.blended), strict=True):
            said[name].append(chances)
    if not labels:
        raise Misuse("feedback: no record was scored by a ranker, so there is nothing to judge")
    clicked = np.concatenate(labels)
    p = {name: np.concatenate(parts) for name, parts in said.items()}
    losses = {name: log_loss(clicked, one) for name, one in p.items()}
    return Clicks(
        records=len(labels),
        shown=len(clicked),
        clicked=int(clicked.sum()),
        log_loss=intervals(losses, users, seed),
        ece={name: _ece(clicked, one, users, seed) for name, one in p.items()},
        blend_less={name: paired(losses["blend"], losses[name], users, seed) for name in WHO[:-1]},
    )


def _ece(clicked: NDArray[np.bool_], p: NDArray[np.float64], users: list[str], seed: int) -> Interval:
    """Return the calibration error with its 95 % percentile interval; a resample draws users with all they saw."""
    _, where = np.unique(users, return_inverse=True)
    order = np.argsort(where, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(where))[:-1])
    generator, found = np.random.default_rng(seed), []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([parts[user] for user in generator.integers(0, len(parts), len(parts))])
        found.append(ece(clicked[drawn], p[drawn]))
    low, high = np.quantile(found, (0.025, 0.975))
    return Interval(ece(clicked, p), float(low), float(high))
