"""What a language model reads: everything that tells items apart in words, and the same in every process."""

import subprocess
import sys

import numpy as np
import pytest

from streams.contracts.items import Item
from streams.features.item import digest_of, hashed_id
from training.text import LATEST, Texts, item_text, price_band, user_text

BEANS = Item(
    item_id="a", title="Espresso  beans", brand="Lavazza", category=["Food", "Coffee"], price=9.5, currency="EUR",
    attributes={"roast_level": "dark", "decaf": None, "bags": 2},
)  # fmt: skip


def id_of(item_id: str) -> int:
    return hashed_id(digest_of(item_id))


def test_an_items_text_holds_all_that_is_known_in_words() -> None:
    expected = "Espresso beans. brand Lavazza. Food > Coffee. bags 2. roast level dark. price from 8 to 16 EUR"
    assert item_text(BEANS) == expected
    assert item_text(Item(item_id="b")) == ""


def test_the_order_of_attributes_changes_nothing() -> None:
    turned = Item(item_id="a", attributes=dict(reversed(BEANS.attributes.items())))
    assert item_text(turned) == item_text(Item(item_id="a", attributes=BEANS.attributes))


@pytest.mark.parametrize("price", [0.01, 0.99, 1.0, 1.99, 64.0, 1e6])
def test_a_price_lies_in_its_band(price: float) -> None:
    low, high = map(float, price_band(Item(item_id="a", price=price)).removeprefix("price from ").split(" to "))
    assert low <= price * 1.001
    assert price < high * 1.001
    assert high == pytest.approx(2 * low, rel=0.01)


def test_a_users_text_names_the_latest_items_first() -> None:
    items = [Item(item_id=str(n), title=f"t{n}") for n in range(LATEST + 5)]
    assert user_text(items) == "; ".join(f"t{n}" for n in range(LATEST))
    assert user_text([Item(item_id="c", category=["Food", "Tea"]), Item(item_id="b")]) == "Tea"


def test_texts_are_found_by_hashed_id_and_the_unknown_has_none() -> None:
    texts = Texts([BEANS])
    assert texts.items(np.array([id_of("a"), id_of("b"), 0], np.int32)) == [item_text(BEANS), "", ""]
    assert texts.user(np.array([id_of("b"), id_of("a"), 0], np.int32)) == "Espresso beans"


def test_another_process_reads_the_same() -> None:
    code = "from tests.training.test_text import BEANS, item_text; print(item_text(BEANS))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == item_text(BEANS) + "\n"
