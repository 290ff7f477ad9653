"""Values of options that click has no type for: a tempo, a moment, how often."""

from datetime import datetime
from typing import Any

import click

from streams.contracts.wire import MAX_AT_MS, MIN_AT_MS

SPEEDS = (0.001, 1e9)
"""Tempos; a slower one would move events that lie a little late in a log out of all times."""
MAX_ROUNDS = 1_000_000


class Speed(click.ParamType):
    """A number within SPEEDS, or `max`."""

    name = "N|max"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Return the multiple of the log's own tempo, None for `max`."""
        if value == "max":
            return None
        try:
            speed = float(value)
        except ValueError:
            speed = 0.0
        slowest, fastest = SPEEDS
        if not slowest <= speed <= fastest:
            self.fail(f"{value} is neither a number from {slowest} to {fastest:,.0f} nor max")
        return speed


class Rounds(click.ParamType):
    """A whole number from 1 to MAX_ROUNDS, or `forever`."""

    name = "N|forever"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """Return the number, None for `forever`."""
        if value == "forever":
            return None
        try:
            rounds = int(value)
        except ValueError:
            rounds = 0
        if not 1 <= rounds <= MAX_ROUNDS:
            self.fail(f"{value} is neither a whole number from 1 to {MAX_ROUNDS:,} nor forever")
        return rounds


class Moment(click.ParamType):
    """A date and time with its zone (ISO 8601), or milliseconds since 1970."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return milliseconds since 1970-01-01 UTC."""
        at_ms = int(value) if value.isascii() and value.isdigit() else self._parsed(value)
        if not MIN_AT_MS <= at_ms <= MAX_AT_MS:
            self.fail(f"{value} is not between 1995 and 2100, in milliseconds since 1970 or as 2017-11-01T00:00Z")
        return at_ms

    def _parsed(self, value: str) -> int:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value} is no time: write it as 2017-11-01T00:00Z or in milliseconds since 1970")
        if moment.tzinfo is None:
            self.fail(f"{value} has no zone: write it as 2017-11-01T00:00Z or 2017-11-01T00:00+02:00")
        return round(moment.timestamp() * 1000)
