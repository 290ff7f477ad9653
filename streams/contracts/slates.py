"""What Streamrank publishes: slates on `recommendations`, their outcomes and receipts on `feedback`, `dead-letters`."""

import base64
import hashlib
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from streams.contracts.events import Kind
from streams.contracts.wire import MAX_ITEMS, AtMs, Id, decode

ServedBy = Literal["triton", "online", "popular"]
MAX_KEPT_BYTES = 256 * 1024
"""How much of a refused message a dead letter keeps."""


class SlateItem(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One position of a slate. `p` maps a head (click, cart, purchase) to its probability, if a ranker scored it.

    `propensity` in (0, 1] is the probability with which this item came to this position, given the items above it: 1 if
    nothing was explored. Multiplied over the positions it is the slate's.
    """

    item_id: str
    score: float
    source: str
    reason: str
    propensity: float
    p: dict[str, float] | None = None


class Slate(Struct, frozen=True, kw_only=True):
    """The answer to one request. `slate_id` is epoch-partition-offset of the event that caused it.

    `online` is the version of the online model's snapshot if one had a say in the scores; it isn't there otherwise.
    """

    slate_id: str
    request_id: str | None
    user_id: str
    kind: str
    at_ms: int
    items: list[SlateItem]
    model: str | None
    served_by: ServedBy
    because: str | None
    latency_ms: float
    online: int | msgspec.UnsetType = msgspec.UNSET


class Forgotten(Struct, frozen=True, kw_only=True, tag_field="type", tag="forgotten"):
    """The receipt of a `forget` on `feedback`; `user_sha256` is the hash of the id, which is not named again."""

    feedback_id: str
    user_sha256: str
    at_ms: int


class Shown(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One position of a served slate and what came of it: nothing, or the deepest `outcome` and when it came.

    `features` and `pairs` are the rows of the tensor contract that the ranker saw, `item_code` its semantic code.
    `score`, `source` and `p` (by HEADS, None if no ranker scored it) are those of the slate, `category` is the first
    element of the item's category path. `seen`: an impression, or an outcome, says so; or the slate had no impression.
    """

    item_id: str
    position: Annotated[int, Meta(ge=0, lt=MAX_ITEMS)]
    propensity: Annotated[float, Meta(gt=0, le=1)]
    features: list[float]
    pairs: list[float]
    item_code: list[int]
    score: float = 0.0
    source: str = ""
    p: list[float] | None = None
    category: str | None = None
    seen: bool = True
    outcome: Literal["click", "cart", "purchase"] | None = None
    outcome_ms: AtMs | None = None


class Feedback(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="feedback", gc=False):
    """A served slate joined with its outcome, with the ranker's inputs as served; `at_ms` is the request's time.

    `feedback_id` is epoch-partition-offset-sequence of the record that closed it; it grows within a partition, and a
    repeat has the same bytes. `closed_ms` is the partition's watermark then. `device` is the request's, if it named
    one. `seeds`, `history_ids` and `history_codes` are the rows of the tensor contract. `missed` counts items that the
    user went for and the slate didn't hold.
    """

    feedback_id: str
    slate_id: str
    request_id: str | None
    user_id: Id
    at_ms: AtMs
    items: list[Shown]
    seeds: list[float]
    history_ids: list[int]
    history_codes: list[list[int]]
    model: str | None = None
    kind: Kind = "for_you"
    device: str | None = None
    served_by: ServedBy = "triton"
    closed_ms: AtMs | None = None
    missed: Annotated[int, Meta(ge=0)] = 0


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A message that was refused: why, where it lies, and the first 256 KiB of its bytes (base64)."""

    reason: str
    path: str
    topic: str
    topic_id: str
    partition: int
    offset: int
    sha256: str
    size_bytes: int
    bytes: str
    key: str | None


encode = msgspec.json.Encoder().encode
_feedback: msgspec.json.Decoder[Feedback | Forgotten] = msgspec.json.Decoder(Feedback | Forgotten)


def decode_feedback(raw: bytes) -> Feedback | Forgotten:
    """Decode one message of `feedback`.

    Raises:
        BadEvent: it is none.
    """
    return decode(_feedback, raw)


def dead_letter(
    reason: str, path: str, *, topic: str, topic_id: str, partition: int, offset: int,
    key: bytes | None, value: bytes | None,
) -> DeadLetter:  # fmt: skip
    """Describe the refused message (`key`, `value`) at that place of the log."""
    raw = value or b""
    return DeadLetter(
        reason=reason,
        path=path,
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        offset=offset,
        sha256=hashlib.sha256(raw).hexdigest(),
        size_bytes=len(raw),
        bytes=base64.b64encode(raw[:MAX_KEPT_BYTES]).decode(),
        key=None if key is None else base64.b64encode(key[:1024]).decode(),
    )
