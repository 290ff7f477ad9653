"""What a record of `items` changes, and why one is refused."""

import json

import pytest

from streams.agents.catalogue import item_change
from streams.errors import BadEvent
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
