"""A message as a row of the lake: its bytes as they came, and beside them what is searched by.

`at_ms` is the message's own time, null where it has none and Kafka's counts; `user_id` is the key's where the value
isn't JSON, so that nothing of a forgotten user stays. `labels` counts the outcomes of a feedback record.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import Struct

FORMAT: Final = b"streamrank.lake"
VERSION: Final = b"1"
FORGETS: Final = b"streamrank.forgets"
"""Keys of a file's metadata: the version of these columns, and how many `forget` events are in it."""
FORGET: Final = "forget"
SCHEMA: Final = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("kafka_ms", pa.int64(), nullable=False),
        pa.field("at_ms", pa.int64()),
        pa.field("type", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("login", pa.string()),
        pa.field("labels", pa.int32(), nullable=False),
        pa.field("value", pa.binary()),
    ],
)


class Message(NamedTuple):
    """A record as Kafka has it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


class _Head(Struct, frozen=True):
    """What may be known of any message of ours; each field may be anything in one that isn't."""

    type: Any = None
    user_id: Any = None
    login: Any = None
    at_ms: Any = None
    items: Any = None


_head = msgspec.json.Decoder(_Head)


def table_of(messages: Sequence[Message]) -> Any:
    """Return messages as a table."""
    rows = [_row(message) for message in messages]
    return with_metadata(pa.Table.from_pylist(rows, schema=SCHEMA))


def with_metadata(table: Any, forgets: int | None = None) -> Any:
    """Return a table with what its file must say of it; `forgets` are counted unless given."""
    if forgets is None:
        forgets = sum(kind == FORGET for kind in table.column("type").to_pylist())
    return table.replace_schema_metadata({FORMAT: VERSION, FORGETS: b"%d" % forgets})


def line(row: Mapping[str, Any], partition: int) -> bytes | None:
    """Return a row as a line of a log, with its time and its place; None of a message without a value.

    What is no JSON object stays as it is: whoever reads it refuses it, as the worker did.

    >>> line({"value": b'{"type": "tick"}', "type": "tick", "at_ms": None, "kafka_ms": 5, "offset": 7}, 3)
    b'{"type": "tick","at_ms":5,"_partition":3,"_offset":7}'
    """
    value: bytes | None = row["value"]
    if value is None or row["type"] is None:
        return None if value is None else value.replace(b"\n", b" ")
    own = b"" if row["at_ms"] is not None else b',"at_ms":%d' % row["kafka_ms"]
    places = b',"_partition":%d,"_offset":%d}' % (partition, row["offset"])
    return value.rstrip()[:-1].replace(b"\n", b" ") + own + places


def _row(message: Message) -> dict[str, Any]:
    try:
        head = _head.decode(message.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head = _Head()
    user_id = _text(head.user_id)
    if user_id is None and message.key is not None:
        user_id = message.key.decode(errors="replace")
    return {
        "offset": message.offset,
        "kafka_ms": message.timestamp_ms,
        "at_ms": head.at_ms if _is_int64(head.at_ms) else None,
        "type": _text(head.type),
        "user_id": user_id,
        "login": _text(head.login),
        "labels": _labels(head.items),
        "value": message.value,
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _is_int64(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _labels(items: Any) -> int:
    shown: Iterable[Any] = items if isinstance(items, list) else ()
    return sum(isinstance(one, dict) and one.get("outcome") is not None for one in shown)
