"""What a record of `items` changes, and why one is refused."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from streams.agents.catalogue import Cataloguer, item_change
from streams.agents.flow import Flow, Inbox
from streams.errors import BadEvent
from streams.metrics import Metrics
from streams.store.base import ItemChange

ITEM = json.dumps({"item_id": "i1"}).encode()


def test_an_upsert_and_a_delete() -> None:
    assert item_change(b"i1", ITEM) == ItemChange("i1", ITEM)
    assert item_change(b"i1", None) == ItemChange("i1", None)


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        (None, ITEM, "$key"),
        (None, None, "$key"),
        (b"\xff", ITEM, "$key"),
        (b"i2", ITEM, "$.item_id"),
        (b"i1", b'{"item_id":"i1","price":-1}', "$.price"),
        (b"i1", b"[]", "$"),
        (b"i1", b"", "$"),
        (b"", None, "$key"),
        (b"x" * 257, None, "$key"),
    ],
)
def test_what_is_refused_names_its_place(key: bytes | None, value: bytes | None, path: str) -> None:
    with pytest.raises(BadEvent) as refused:
        item_change(key, value)
    assert refused.value.path == path


def test_a_dead_letter_stays_publishable_however_long_the_key() -> None:
    nothing: Any = None
    cataloguer = Cataloguer(Flow(), Inbox(asyncio.Event()), nothing, nothing, {"items": "id"}, Metrics())
    record = SimpleNamespace(topic="items", partition=0, offset=7, key=b"k" * 900_000, value=b"v" * 90_000)
    changes, (letter,) = cataloguer._changes([record])  # noqa: SLF001
    assert changes == []
    assert letter.key == b"k" * 1_024
    assert len(letter.value) + len(letter.key) < 500_000
