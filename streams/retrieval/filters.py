"""What may be in a slate at all: in stock, not deleted, within the caller's filters, not disliked."""

import numpy as np
from numpy.typing import NDArray

from streams.features import touch as t
from streams.retrieval.base import Asked


def allowed(asked: Asked, items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each item (N,) whether the request allows it."""
    catalogue, filters = asked.catalogue, asked.request.filters
    ok: NDArray[np.bool_] = catalogue.servable[items].copy()
    if filters.in_stock:
        ok &= catalogue.in_stock[items]
    if filters.category:
        codes = [code for name in filters.category for code in catalogue.codes_by_name.get(name, ())]
        ok &= np.isin(catalogue.category[items], codes).any(axis=1)
    if filters.brand:
        ok &= np.isin(catalogue.brand[items], [catalogue.codes.get(name, -1) for name in filters.brand])
    if filters.min_price is not None:
        ok &= catalogue.log_price[items] >= np.log(max(filters.min_price, 1e-9)) - 1e-6
    if filters.max_price is not None:
        ok &= catalogue.log_price[items] <= np.log(max(filters.max_price, 1e-9)) + 1e-6
    unwanted = _unwanted(asked)
    if len(unwanted):
        ok &= ~np.isin(items, unwanted)
    return ok


def _unwanted(asked: Asked) -> NDArray[np.int64]:
    """Return the items that are never shown to this request."""
    known = asked.catalogue.index
    named = [known[item] for item in asked.request.filters.exclude if item in known]
    disliked = asked.history.items[asked.history.touches.signal == t.DISLIKED]
    context = asked.seeds if asked.request.kind in ("similar", "bundle") else asked.seeds[:0]
    return np.concatenate((np.array(named, np.int64), disliked, context))
