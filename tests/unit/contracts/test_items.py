import json

import pytest

from streams.contracts.items import Item, decode_item
from streams.errors import BadEvent

FULL = {
    "item_id": "sku-1", "title": "Runner 3", "brand": "Acme", "category": ["clothing", "shoes", "running"],
    "price": 89.9, "currency": "EUR", "in_stock": False, "description": "light", "attributes": {"size": 42},
    "tags": ["new"], "created_ms": 1_732_212_345_678, "vectors": {"image": [0.1, -0.2]}, "sponsored": True,
}  # fmt: skip


def test_every_field_decodes() -> None:
    item = decode_item(json.dumps(FULL).encode())
    assert {name: getattr(item, name) for name in Item.__struct_fields__} == FULL


def test_only_the_id_is_required() -> None:
    item = decode_item(b'{"item_id":"a","colour":"red"}')
    assert item == Item(item_id="a")
    assert item.in_stock


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"item_id": ""}, "$.item_id"),
        ({"category": "shoes"}, "$.category"),
        ({"category": ["shoes", ""]}, "$.category[1]"),
        ({"category": ["x"] * 17}, "$.category"),
        ({"price": -0.01}, "$.price"),
        ({"currency": "€"}, "$.currency"),
        ({"in_stock": "yes"}, "$.in_stock"),
        ({"created_ms": 1_732_212_345}, "$.created_ms"),
        ({"vectors": {"image": [0.1, "b"]}}, "$.vectors[...][1]"),
        ({"attributes": {"size": [42]}}, "$.attributes[...]"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(change: dict[str, object], path: str) -> None:
    with pytest.raises(BadEvent) as caught:
        decode_item(json.dumps(FULL | change).encode())
    assert caught.value.path == path
