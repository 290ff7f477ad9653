"""The ledger: a served slate that waits for its outcome, with the ranker's inputs as served. Pure.

It is written once, when the slate is served, and again for each thing that becomes of it; closed, it is a `Feedback`.
Inputs are kept as 32-bit words, bit for bit, without the zeros, which most of them are.
"""

from functools import lru_cache
from math import prod

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS, FEATURES, HEADS, HISTORY, SEEDS
from streams.contracts import events as ev
from streams.contracts.slates import Feedback, ServedBy, Shown, Slate
from streams.features.encode import Candidates, History, history_codes, history_ids
from streams.features.item import Catalogue

Words = NDArray[np.uint32]
_OF_SLATE = (("seeds", (SEEDS,)), ("history_ids", (HISTORY,)), ("history_codes", (HISTORY, CODE_LEVELS)))
_OF_ITEMS = (("features", len(FEATURES)), ("pairs", 2 * SEEDS), ("item_codes", CODE_LEVELS))
"""The inputs of a slate, and their shapes, and those of each item, and their sizes; in the order of packing."""


class Ledger(Struct, frozen=True, array_like=True, gc=False):
    """One served slate of N items. `at_ms` is the request's time, `opened_ms` the partition's watermark then.

    `p` has the heads of each item, or nothing if no ranker scored them; `inputs` is what `_packed` made. `seen` has a
    byte an item, 1 if an impression named it, and is empty while there was none. `outcomes` maps a position to the
    deepest depth (1 for the first of HEADS) and when it came; `missed` are items that the user went for elsewhere.
    """

    slate_id: str
    request_id: str | None
    user_id: str
    kind: ev.Kind
    device: str | None
    at_ms: int
    opened_ms: int
    model: str | None
    served_by: ServedBy
    items: tuple[str, ...]
    scores: tuple[float, ...]
    sources: tuple[str, ...]
    categories: tuple[str | None, ...]
    propensities: tuple[float, ...]
    p: tuple[tuple[float, ...], ...]
    inputs: bytes
    seen: bytes = b""
    outcomes: dict[int, tuple[int, int]] = {}
    missed: tuple[str, ...] = ()

    def answers(self, request_id: str) -> bool:
        """Tell whether this slate is meant by an event's `request_id`; a pushed one is known by its own id."""
        return request_id in (self.request_id, self.slate_id)


pack_ledger = msgspec.msgpack.Encoder().encode
unpack_ledger = msgspec.msgpack.Decoder(Ledger).decode


def ledger_of(
    slate: Slate,
    request: ev.Request,
    at_ms: int,
    opened_ms: int,
    history: History,
    candidates: Candidates,
    features: NDArray[np.float32],
    catalogue: Catalogue,
) -> Ledger:
    """Return the ledger of a slate of N of K candidates; `features` (K, F) are theirs."""
    items = slate.items
    served = catalogue.indices_of(item.item_id for item in items)
    rows = (candidates.items[:, None] == served).argmax(axis=0)
    seeds = np.zeros(SEEDS, np.float32)
    seeds[: len(candidates.seeds)] = candidates.seeds
    device = (request.context or {}).get("device")
    return Ledger(
        slate_id=slate.slate_id,
        request_id=slate.request_id,
        user_id=slate.user_id,
        kind=request.kind,
        device=device if isinstance(device, str) else None,
        at_ms=at_ms,
        opened_ms=opened_ms,
        model=slate.model,
        served_by=slate.served_by,
        items=tuple(item.item_id for item in items),
        scores=tuple(item.score for item in items),
        sources=tuple(item.source for item in items),
        categories=tuple(path[0] if (path := catalogue.categories[i]) else None for i in served),
        propensities=tuple(item.propensity for item in items),
        p=tuple(tuple(item.p.values()) for item in items if item.p is not None),
        inputs=_packed(
            seeds,
            history_ids(history, catalogue),
            history_codes(history, catalogue),
            features[rows],
            candidates.counts[rows],
            catalogue.semantic[served],
        ),
    )


def feedback_of(ledger: Ledger, feedback_id: str, closed_ms: int) -> Feedback:
    """Return the record of a slate that closes when its partition's watermark is `closed_ms`."""
    words = _unpacked(ledger.inputs, len(ledger.items))
    features, pairs, seeds = (words[name].view(np.float32).tolist() for name in ("features", "pairs", "seeds"))
    codes, own_ids, own_codes = (words[n].tolist() for n in ("item_codes", "history_ids", "history_codes"))
    items = []
    for place, item_id in enumerate(ledger.items):
        depth, outcome_ms = ledger.outcomes.get(place, (0, None))
        items.append(
            Shown(
                item_id=item_id,
                position=place,
                propensity=ledger.propensities[place],
                features=features[place],
                pairs=pairs[place],
                item_code=codes[place],
                score=ledger.scores[place],
                source=ledger.sources[place],
                p=list(ledger.p[place]) if ledger.p else None,
                category=ledger.categories[place],
                seen=not ledger.seen or bool(ledger.seen[place]) or depth > 0,
                outcome=HEADS[depth - 1] if depth else None,  # type: ignore[arg-type]
                outcome_ms=outcome_ms,
            )
        )
    return Feedback(
        feedback_id=feedback_id,
        slate_id=ledger.slate_id,
        request_id=ledger.request_id,
        user_id=ledger.user_id,
        at_ms=ledger.at_ms,
        items=items,
        seeds=seeds,
        history_ids=own_ids,
        history_codes=own_codes,
        model=ledger.model,
        kind=ledger.kind,
        device=ledger.device,
        served_by=ledger.served_by,
        closed_ms=closed_ms,
        missed=len(ledger.missed),
    )


def _packed(*tensors: NDArray[np.float32] | NDArray[np.int32]) -> bytes:
    """Return which 32-bit words are not zero, a bit each, and those words."""
    words = np.concatenate([tensor.ravel().view(np.uint32) for tensor in tensors])
    present = words != 0
    return b"".join((np.packbits(present).tobytes(), words[present].tobytes()))


def _unpacked(packed: bytes, items: int) -> dict[str, Words]:
    """Undo `_packed` for a slate of N items: each input by name, of its own shape."""
    layout, size = _layout(items)
    bits = -(-size // 8)
    words = np.zeros(size, np.uint32)
    present = np.unpackbits(np.frombuffer(packed, np.uint8, bits), count=size).view(np.bool_)
    words[present] = np.frombuffer(packed, np.uint32, -1, bits)
    return {name: words[place].reshape(shape) for name, place, shape in layout}


@lru_cache
def _layout(items: int) -> tuple[list[tuple[str, slice, tuple[int, ...]]], int]:
    """Return where each input of a slate of N items lies among its words, with its shape, and how many there are."""
    layout, at = [], 0
    for name, shape in (*_OF_SLATE, *((name, (items, size)) for name, size in _OF_ITEMS)):
        layout.append((name, slice(at, at + prod(shape)), shape))
        at += prod(shape)
    return layout, at
