"""What Streamrank says on `models`: each change in the life of a model's version, and why it came to be."""

from typing import Literal

import msgspec
from msgspec import Struct

State = Literal[
    "published", "validated", "shadow", "canary", "champion", "previous", "retired", "rejected", "rolled back"
]
"""`previous` was the champion until the last promotion, and stays loaded, so that a rollback is a pointer move."""


class ModelEvent(
    Struct, frozen=True, kw_only=True, tag_field="type", tag="version", rename={"before": "from", "after": "to"}
):
    """A version went from one state to another; `revision` counts the changes of a model's pointer.

    Several versions may change with one revision: a promotion makes one champion, and another `previous`.
    """

    model: str
    version: int
    revision: int
    before: State | None
    after: State
    champion: int
    at_ms: int
    who: str
    why: str
    metrics: dict[str, float]
    manifest_sha256: str | None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(ModelEvent).decode
