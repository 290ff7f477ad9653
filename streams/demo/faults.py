"""Malformed messages, made on purpose: each must end in `dead-letters`, and none may change anything else."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from streams.contracts.partition import partition_of

ANY_PARTITION = -1
_DAY_MS = 86_400_000


class Fault(NamedTuple):
    """A message that must be refused; `partition` ANY_PARTITION lets the key decide."""

    kind: str
    key: bytes | None
    value: bytes | None
    partition: int = ANY_PARTITION


Make = Callable[[str, int, int, int], Fault]
"""From a user, the time of its basket, the time now (ms) and the partition count."""


def _event(user: str, at_ms: int, **fields: object) -> bytes:
    event = {"type": "purchase", "user_id": user, "at_ms": at_ms, "item_id": "no-item", **fields}
    return msgspec.json.encode({name: value for name, value in event.items() if value is not None})


def _elsewhere(user: str, at_ms: int, partitions: int) -> Fault:
    key = user.encode()
    wrong = (partition_of(key, partitions) + 1) % partitions
    return Fault("in another partition than murmur2 says", key, _event(user, at_ms), wrong)


KINDS: tuple[Make, ...] = (
    lambda user, at, now, n: Fault("not JSON", user.encode(), b'{"type":"purchase",'),
    lambda user, at, now, n: Fault("not UTF-8", user.encode(), _event(user, at).replace(b"no-item", b"\xff\xfe")),
    lambda user, at, now, n: Fault("unknown type", user.encode(), _event(user, at, type="teleport")),
    lambda user, at, now, n: Fault("missing field", user.encode(), _event(user, at, item_id=None)),
    lambda user, at, now, n: Fault("negative quantity", user.encode(), _event(user, at, quantity=-1)),
    lambda user, at, now, n: Fault("at_ms in seconds", user.encode(), _event(user, at // 1000)),
    lambda user, at, now, n: Fault("at_ms in the future", user.encode(), _event(user, now + 2 * _DAY_MS)),
    lambda user, at, now, n: Fault("key of another user", b"somebody-else", _event(user, at)),
    lambda user, at, now, n: Fault("no key", None, _event(user, at)),
    lambda user, at, now, n: Fault("no value", user.encode(), None),
    lambda user, at, now, n: _elsewhere(user, at, n),
)


def spread(count: int, over: int) -> dict[int, list[int]]:
    """Return which of `count` things comes after which of `over` others, evenly.

    >>> spread(2, 4)
    {1: [0], 3: [1]}
    """
    places: dict[int, list[int]] = {}
    for thing in range(count):
        places.setdefault((2 * thing + 1) * over // (2 * count), []).append(thing)
    return places


def make(kinds: Sequence[int], user: str, at_ms: int, now_ms: int, partitions: int) -> list[Fault]:
    """Return one fault of each of these kinds (any number, they repeat)."""
    return [KINDS[kind % len(KINDS)](user, at_ms, now_ms, partitions) for kind in kinds]
