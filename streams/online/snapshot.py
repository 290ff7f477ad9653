"""What the learner publishes for workers to score with: immutable, numbered, bounded.

It is msgpack, and arrays are bytes, little-endian. ITEMS and CATEGORIES bound it to about 400 kB.
"""

from typing import TypeVar

import msgspec
from msgspec import Struct

from streams.errors import StoreMismatch
from streams.online.terms import CONTRACT

ITEMS = 16_384
CATEGORIES = 4_096
"""How many ids have a residual; beyond, those go that were shown least lately."""


class Linear(Struct, frozen=True):
    """A model's numbers: `weights` (WIDTH,) float64, the intercept, and the steps that led there."""

    weights: bytes
    intercept: float
    steps: int = 0


class Residuals(Struct, frozen=True):
    """`ids` (N,) uint64, ascending, and the `values` (N,) float64 of their residuals."""

    ids: bytes
    values: bytes


class Snapshot(Struct, frozen=True, kw_only=True):
    """What workers score with. `shares` (W,) are the blend's; `at_ms` is the event time up to which it was learned.

    `seen` (N,) float32 is how often each of the `items` was seen of late.
    """

    contract: str = CONTRACT
    model: str
    version: int
    at_ms: int
    calibrated: Linear
    alone: Linear
    items: Residuals
    seen: bytes
    categories: Residuals
    shares: tuple[float, ...]


_T = TypeVar("_T", bound=Struct)
encode = msgspec.msgpack.Encoder().encode


class _Contract(Struct):
    contract: str


_contract = msgspec.msgpack.Decoder(_Contract).decode


def decode(kind: type[_T], raw: bytes) -> _T:
    """Return what was stored as that kind, which has a contract.

    Raises:
        StoreMismatch: it is of another contract, or no snapshot at all.
    """
    try:
        contract = _contract(raw).contract
        if contract == CONTRACT:
            return msgspec.msgpack.decode(raw, type=kind)
    except msgspec.DecodeError as exc:
        raise StoreMismatch(
            f"the online model in Redis can't be read ({exc}): run `streamrank learner --anew`"
        ) from exc
    raise StoreMismatch(
        f"the online model in Redis is of contract {contract}, not {CONTRACT}: run `streamrank learner --anew` with the"
        " version of Streamrank that workers have"
    )
