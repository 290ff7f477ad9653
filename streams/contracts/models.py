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


class SnapshotPublished(Struct, frozen=True, kw_only=True, tag_field="type", tag="snapshot"):
    """The learner published what it learned beside a model; `metrics` are prequential losses (nats) and counts.

    Workers follow a pointer in Redis, not this: it is told of now and then, so that people can see what is learned.
    """

    model: str
    version: int
    at_ms: int
    metrics: dict[str, float]


class DriftDetected(Struct, frozen=True, kw_only=True, tag_field="type", tag="drift"):
    """A detector found that a signal of a model's feedback is not what it was; `evidence` says how it changed."""

    model: str
    detector: str
    signal: str
    at_ms: int
    evidence: dict[str, float]


Said = ModelEvent | SnapshotPublished | DriftDetected
"""What a message on `models` may be; keys are `MODEL`, `MODEL/online` and `MODEL/drift`, as the topic is compacted."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(ModelEvent).decode
decode_said = msgspec.json.Decoder(Said).decode
