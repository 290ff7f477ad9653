"""What every wire type shares: bounded scalars, and the one place where bytes become a struct or a `BadEvent`.

Bounds exist so that no message can make state grow without limit. A message that breaks one is a dead letter whose
`path` is the JSON path of the field, as in `$.items[3]`.
"""

import re
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from streams.errors import BadEvent

MAX_MESSAGE_BYTES = 1_000_000
MAX_ID_LENGTH = 128
MAX_ITEMS = 1_000
MIN_AT_MS = 788_918_400_000
"""1995-01-01. An `at_ms` below it is nearly always seconds sent as milliseconds."""
MAX_AT_MS = 4_102_444_800_000
"""2100-01-01. An `at_ms` above it is nearly always microseconds."""

Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]
AtMs = Annotated[int, Meta(ge=MIN_AT_MS, le=MAX_AT_MS, description="milliseconds since 1970-01-01 UTC")]
Text = Annotated[str, Meta(max_length=20_000)]
Query = Annotated[str, Meta(min_length=1, max_length=1_000)]
Price = Annotated[float, Meta(ge=0, le=1e12)]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217")]
Context = dict[str, str | int | float | bool | None]

T = TypeVar("T")
_PATH = re.compile(r"^(?P<reason>.*?)(?: - at `(?:key in )?(?P<path>\$[^`]*)`)?$", re.DOTALL)


def decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    """Decode one message.

    Raises:
        BadEvent: with the reason and the JSON path, whatever is wrong with the bytes.
    """
    if len(raw) > MAX_MESSAGE_BYTES:
        raise BadEvent(f"message of {len(raw)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    try:
        if not raw.isascii():
            raw.decode()  # in fields that it doesn't know msgspec lets everything pass
        return decoder.decode(raw)
    except msgspec.ValidationError as exc:
        match = _PATH.match(str(exc))
        reason, path = (match["reason"], match["path"]) if match else (str(exc), None)
        raise BadEvent(reason, path or "$") from exc
    except UnicodeDecodeError as exc:
        raise BadEvent(f"not UTF-8 at byte {exc.start}") from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise BadEvent(f"not JSON: {exc}") from exc
