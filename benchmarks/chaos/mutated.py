"""Traffic for the decoder: every second message has bytes replaced, cut or repeated, or a field of another type."""

import json
import random
from typing import Any

from benchmarks.chaos.traffic import Sent, Traffic

SHARE = 0.5
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 2**64, 1e308, -0.0, "", "\x00", "ü" * 200, "x" * 100_000, [], [[]], {}, {"a": {"b": []}},
    ["i"] * 2_000,
)  # fmt: skip
"""What a field may hold instead."""
FIELDS = ("type", "user_id", "item_id", "event_id", "at_ms", "items", "context", "state", "partition", "price", "new")


class Mutated(Traffic):
    """Draws as `Traffic` does, and damages some of it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._damage = random.Random(seed)

    def draw(self, now_ms: int) -> Sent:
        """Draw the next message, whole or damaged."""
        sent = super().draw(now_ms)
        if sent.value is None or self._damage.random() > SHARE:
            return sent
        return Sent(sent.topic, sent.key, self._damaged(sent.value))

    def _damaged(self, value: bytes) -> bytes:
        kind = self._damage.random()
        if kind < 0.4:
            return self._bytes(bytearray(value))
        if kind < 0.5:
            return value[: self._damage.randrange(len(value) + 1)]
        if kind < 0.55:
            return value * 2
        try:
            fields = json.loads(value)
        except ValueError:
            return self._damage.randbytes(50)
        if not isinstance(fields, dict):
            return value
        names = (*fields, *FIELDS)
        changed = fields | {self._damage.choice(names): self._damage.choice(VALUES)}
        return json.dumps(changed).encode()

    def _bytes(self, value: bytearray) -> bytes:
        for _ in range(self._damage.randint(1, 4)):
            at = self._damage.randint(0, len(value))
            value[at : at + self._damage.randrange(4)] = self._damage.randbytes(self._damage.randrange(4))
        return bytes(value)
