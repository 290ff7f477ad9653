"""What Streamrank publishes: slates on `recommendations`, receipts on `feedback`, refusals on `dead-letters`."""

import base64
import hashlib
from typing import Literal

import msgspec
from msgspec import Struct

ServedBy = Literal["triton", "online", "popular"]
MAX_KEPT_BYTES = 256 * 1024
"""How much of a refused message a dead letter keeps."""


class SlateItem(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One position of a slate. `p` maps a head (click, cart, purchase) to its probability, if a ranker scored it."""

    item_id: str
    score: float
    source: str
    reason: str
    propensity: float
    p: dict[str, float] | None = None


class Slate(Struct, frozen=True, kw_only=True):
    """The answer to one request. `slate_id` is epoch-partition-offset of the event that caused it."""

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


class Forgotten(Struct, frozen=True, kw_only=True, tag_field="type", tag="forgotten"):
    """The receipt of a `forget` on `feedback`; `user_sha256` is the hash of the id, which is not named again."""

    feedback_id: str
    user_sha256: str
    at_ms: int


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
