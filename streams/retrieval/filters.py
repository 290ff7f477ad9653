"""What may be in a slate at all: in stock, not deleted, within the caller's filters, not disliked."""

import numpy as np
from numpy.typing import NDArray

from streams.contracts.events import Request
from streams.features import touch as t
from streams.features.user import UserState
from streams.retrieval.base import Asked


def allowed(asked: Asked, items: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each item (N,) whether the request allows it."""
    catalogue, filters = asked.catalogue, asked.request.filters
    ok: NDArray[np.bool_] = catalogue.servable[items]
    if filters.in_stock:
        ok &= catalogue.in_stock[items]
    if filters.category:
        codes = [code for name in filters.category for code in catalogue.codes_by_name.get(name, ())]
        ok &= np.isin(catalogue.category[items], codes).any(axis=1)
    if filters.brand:
        ok &= np.isin(catalogue.brand[items], [catalogue.codes.get(name, -1) for name in filters.brand])
    if filters.min_price is not None:
        ok &= catalogue.price[items] >= filters.min_price
    if filters.max_price is not None:
        ok &= catalogue.price[items] <= filters.max_price
    unwanted = _unwanted(asked)
    if len(unwanted):
        hidden = np.zeros(len(catalogue), bool)  # pages that nobody touches cost nothing
        hidden[unwanted] = True
        ok &= ~hidden[items]
    return ok


def basket(request: Request, state: UserState) -> list[str]:
    """Return what a bundle goes with: the items that the caller gives, or the user's cart; nothing for other kinds."""
    if request.kind != "bundle":
        return []
    return request.items or list(state.cart)


def _unwanted(asked: Asked) -> NDArray[np.int64]:
    """Return the items that are never shown to this request."""
    request, known = asked.request, asked.catalogue.index
    named = request.filters.exclude + basket(request, asked.state)
    if request.kind == "similar" and request.item_id is not None:
        named.append(request.item_id)
    disliked: NDArray[np.int64] = asked.history.items[asked.history.touches.signal == t.DISLIKED]
    if not named:
        return disliked
    return np.concatenate((np.array([known[item] for item in named if item in known], np.int64), disliked))
