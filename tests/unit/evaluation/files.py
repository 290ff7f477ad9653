"""Logs as files, small enough to know by heart, and what a protocol's walk through one comes to."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from streams.contracts import events as ev
from streams.contracts.items import Item
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log
from streams.evaluation.protocols import Protocol
from tests.unit.building import at, wire


def click(user: str, item: str, minute: float, **fields: object) -> bytes:
    """Return a click, so many minutes after T0."""
    return wire("click", user, at(minute), item_id=item, **fields)


def bought(user: str, item: str, minute: float, order: str | None = None) -> bytes:
    """Return a line of an order."""
    return wire("purchase", user, at(minute), item_id=item, **({} if order is None else {"order_id": order}))


def write(folder: Path, events: Iterable[bytes], items: Iterable[Item] = ()) -> Path:
    """Write a folder as `streamrank import` does; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "events.jsonl").write_bytes(b"".join(line + b"\n" for line in events))
    (folder / "items.jsonl").write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in items))
    return folder


def log_of(folder: Path, *events: bytes) -> Log:
    """Return a log of these lines."""
    return Log(write(folder, events))


def walked(protocol: Protocol, log: Log) -> list[str | Case]:
    """Return a walk: what is learned as `user:item` or `user:type`, and the cases."""
    return [step if isinstance(step, Case) else told(step) for step in protocol.walk(log)]


def told(entry: Entry) -> str:
    """Return an event in short."""
    event = entry.event
    item = None if isinstance(event, ev.Uncart) else getattr(event, "item_id", None)
    return f"{event.user_id}:{item or msgspec.to_builtins(event)['type']}"


def learned(steps: Iterable[str | Case]) -> list[str]:
    """Return what a walk teaches, in short."""
    return [step for step in steps if isinstance(step, str)]


def cases(steps: Iterable[str | Case]) -> list[Case]:
    """Return the cases of a walk."""
    return [step for step in steps if isinstance(step, Case)]
