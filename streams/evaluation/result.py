"""From what everybody answered to the result of an evaluation, as plain numbers: the same log gives the same bytes.

Only `timing` tells of the run. `auc`, `log_loss` and `ece` are those of the probabilities that the slates carry, of the
head that the protocol is about; an item is positive if it is a target of its case.
"""

from typing import Any

import numpy as np

from streams.evaluation.baselines import Popular
from streams.evaluation.intervals import intervals
from streams.evaluation.log import Log
from streams.evaluation.probability import auc, ece, log_loss
from streams.evaluation.run import Asked, Outcome
from streams.evaluation.streamrank import Streamrank
from streams.evaluation.summary import DIGITS, summarise


def as_json(
    protocol: str, log: Log, outcome: Outcome, asked: Asked, popular: Popular, streamrank: Streamrank
) -> dict[str, Any]:
    """Return the result; `popular` has learned what all others have."""
    popularity = dict.fromkeys(streamrank.item_ids, 0)
    popularity |= zip(popular.items.ids, popular.items.counts.tolist(), strict=False)
    categories = streamrank.categories
    rankings = {streamrank.name: [answer.items for answer in outcome.answers]} | outcome.rankings
    results: dict[str, Any] = {
        name: summarise(ranking, outcome.cases, asked.k, seed=asked.seed, popularity=popularity, categories=categories)
        for name, ranking in rankings.items()
    }
    results[streamrank.name] |= _probabilities(outcome) | {"sources": _sources(outcome)}
    results["ceiling"] = _ceiling(outcome, asked.seed)
    return {
        "protocol": protocol,
        "k": asked.k,
        "cases": len(outcome.cases),
        "users": len({case.user_id for case in outcome.cases}),
        "events": outcome.events,
        "left_out": {"no_event": log.rejected, "repeated": log.repeated},
        "late": log.late,
        "seed": asked.seed,
        "results": results,
        "timing": _timing(outcome),
    }


def _ceiling(outcome: Outcome, seed: int) -> dict[str, Any]:
    """Return the share of targets that were among Streamrank's candidates; no ranker can reach more."""
    values = {"recall": np.array([answer.ceiling for answer in outcome.answers])}
    sure = intervals(values, [case.user_id for case in outcome.cases], seed)["recall"]
    bounds = [round(sure.low, DIGITS), round(sure.high, DIGITS)]
    return {"recall": round(sure.mean, DIGITS), "intervals": {"recall": bounds}}


def labelled(outcome: Outcome) -> tuple[Any, Any]:
    """Return of every item shown with a probability whether it was a target, and the probability: (N,) each."""
    labels, p = [], []
    for case, answer in zip(outcome.cases, outcome.answers, strict=True):
        targets = set(case.targets)
        labels += [item in targets for item, _ in zip(answer.items, answer.p, strict=False)]
        p += answer.p
    return np.array(labels, bool), np.array(p, np.float64)


def _probabilities(outcome: Outcome) -> dict[str, float]:
    labels, p = labelled(outcome)
    if not len(p):
        return {}
    area = auc(labels, p)
    found = {"log_loss": log_loss(labels, p), "ece": ece(labels, p)} | ({} if area is None else {"auc": area})
    return {name: round(value, DIGITS) for name, value in found.items()}


def _sources(outcome: Outcome) -> dict[str, float]:
    """Return the share of each source in what was shown."""
    shown: dict[str, int] = {}
    for answer in outcome.answers:
        for source in answer.sources:
            shown[source] = shown.get(source, 0) + 1
    total = sum(shown.values())
    return {source: round(count / total, DIGITS) for source, count in sorted(shown.items())}


def _timing(outcome: Outcome) -> dict[str, float]:
    """Return rates of one core, and which share of a slate's time isn't the ranker's network."""
    ranked = max(outcome.rank_seconds, 1e-9)
    return {
        "events_s": round(outcome.events / max(outcome.learn_seconds, 1e-9), 1),
        "slates_s": round(len(outcome.answers) / ranked, 1),
        "share_outside_ranker": round(1 - outcome.ranker_seconds / ranked, 4),
        "seconds": round(outcome.seconds, 3),
        "peak_rss_bytes": outcome.peak_rss_bytes,
    }
