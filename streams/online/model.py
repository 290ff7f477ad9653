"""The online model of one ranker: what of a record is learned, and what is said of it before.

Two click models (see `click`), residuals of items and of first-level categories, and the shares of the blend. An item's
residual counts its clicks against what the model says of it without residuals, at the position where it stood.
"""

import math
from dataclasses import dataclass

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from streams.contracts.slates import Feedback, Shown
from streams.features.item import digest_of
from streams.online import blend, click, terms
from streams.online.rates import Kept, Rates
from streams.online.snapshot import CATEGORIES, ITEMS, Linear, Residuals

LEAST_P = 1e-12
"""No loss is larger than that of an event that was held for so unlikely."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of the n items that were seen, before they were learned, and what came of them; all (n,).

    `ranker` is None if none scored them; `online` then comes from the model that does without, and so does `blended`.
    """

    clicked: NDArray[np.bool_]
    ranker: NDArray[np.float64] | None
    online: NDArray[np.float64]
    blended: NDArray[np.float64]


class Numbers(Struct, frozen=True, kw_only=True):
    """All that an online model learned."""

    calibrated: Linear
    alone: Linear
    items: Kept | None = None
    categories: Kept | None = None
    shares: tuple[float, ...] = blend.PRIOR


NOTHING = Numbers(calibrated=click.calibrated(), alone=click.alone())
"""Before any record."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One item that was seen: what both models read of it, its ids, and its residuals."""

    alone: terms.Row
    calibrated: terms.Row
    clicked: bool
    item: int
    category: int | None


class OnlineModel:
    """Learns record by record; see the module."""

    def __init__(self, numbers: Numbers = NOTHING) -> None:
        self._calibrated = click.ClickModel(numbers.calibrated)
        self._alone = click.ClickModel(numbers.alone)
        self._items = Rates(ITEMS, numbers.items)
        self._categories = Rates(CATEGORIES, numbers.categories)
        self.shares = numbers.shares

    def take(self, record: Feedback, at_ms: int) -> Judged | None:
        """Judge a record as of `at_ms`, then learn it; None if nothing of it was seen."""
        seen = [one for one in record.items if one.seen]
        if not seen:
            return None
        moment = terms.moment(record.at_ms, record.device)
        rows = [self._row(moment, one) for one in seen]
        alone = [self._alone.logit_one(row.alone) for row in rows]
        said = [terms.logit(one.p[0]) for one in seen if one.p is not None]
        ranked = len(said) == len(seen)
        online = [self._calibrated.logit_one(row.calibrated) for row in rows] if ranked else alone
        judged = self._judge(rows, np.array(said) if ranked else None, np.array(online))
        for row, logit in zip(rows, online, strict=True):
            self._learn(row, logit, at_ms, ranked)
        return judged

    def numbers(self) -> Numbers:
        """Return all that was learned."""
        return Numbers(
            calibrated=self._calibrated.numbers(),
            alone=self._alone.numbers(),
            items=self._items.kept(),
            categories=self._categories.kept(),
            shares=self.shares,
        )

    def residuals(self) -> tuple[Residuals, Residuals, bytes]:
        """Return the residuals of items and of categories, to score with, and how often those items were seen."""
        ids, items, seen = self._items.table()
        codes, categories, _ = self._categories.table()
        return (
            Residuals(ids.tobytes(), items.tobytes()),
            Residuals(codes.tobytes(), categories.tobytes()),
            seen.astype(np.float32).tobytes(),
        )

    def _row(self, moment: terms.Row, one: Shown) -> _Row:
        item = digest_of(one.item_id)
        category = None if one.category is None else digest_of(one.category)
        shared = moment | terms.place(one.source, one.position)
        shared[terms.ITEM] = self._items.residual(item)
        if category is not None:
            shared[terms.CATEGORY] = self._categories.residual(category)
        return _Row(
            alone=shared | terms.stand_ins(one.features),
            calibrated=shared | terms.heads(one.p or ()),
            clicked=one.outcome is not None,
            item=item,
            category=category,
        )

    def _judge(self, rows: list[_Row], ranker: NDArray[np.float64] | None, online: NDArray[np.float64]) -> Judged:
        clicked = np.array([row.clicked for row in rows])
        alone = blend.sigmoid(online)
        if ranker is None:
            return Judged(clicked, None, alone, alone)
        said = blend.experts(ranker, online)  # (n, W)
        shares = np.array(self.shares)
        losses = np.stack([log_loss(clicked, said[:, expert]) for expert in range(len(shares))])
        self.shares = blend.moved(self.shares, losses.mean(axis=1).tolist())
        return Judged(clicked, blend.sigmoid(ranker), alone, said @ shares)

    def _learn(self, row: _Row, logit: float, at_ms: int, ranked: bool) -> None:
        """Learn one item, of which the model in force said `logit`."""
        model, read = (self._calibrated, row.calibrated) if ranked else (self._alone, row.alone)
        residuals = sum(model.weight(column) * read.get(column, 0.0) for column in (terms.ITEM, terms.CATEGORY))
        expected = 1.0 / (1.0 + math.exp(-min(max(logit - residuals, -terms.MOST_LOGIT), terms.MOST_LOGIT)))
        if ranked:
            self._calibrated.learn_one(row.calibrated, row.clicked)
        self._alone.learn_one(row.alone, row.clicked)
        self._items.add(row.item, row.clicked, expected, at_ms)
        if row.category is not None:
            self._categories.add(row.category, row.clicked, expected, at_ms)


def log_loss(clicked: NDArray[np.bool_], p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log-loss of each item (n,), in nats."""
    loss: NDArray[np.float64] = -np.log(np.maximum(np.where(clicked, p, 1.0 - p), LEAST_P))
    return loss
