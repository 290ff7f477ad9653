"""A line of `holdout.jsonl`: a session to complete, `{"user_id","items":[prefix…],"targets":[…]}`."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from streams.contracts.wire import MAX_ITEMS, Id, decode


class Holdout(Struct, frozen=True, kw_only=True, gc=False):
    """`items` came first, oldest first; `targets` are what came then."""

    user_id: Id
    items: Annotated[list[Id], Meta(min_length=1, max_length=MAX_ITEMS)]
    targets: Annotated[list[Id], Meta(min_length=1, max_length=MAX_ITEMS)]


_DECODER: msgspec.json.Decoder[Holdout] = msgspec.json.Decoder(Holdout)


def decode_holdout(raw: bytes) -> Holdout:
    """Decode one line.

    Raises:
        BadEvent: with the reason and the JSON path.
    """
    return decode(_DECODER, raw)
