"""Semantic codes as they are kept: of which text, by which encoder, and what still waits."""

import doctest

import numpy as np
import pytest

import streams.features.text
from inference.tensors import CODE_LEVELS, CODES
from streams.contracts.items import Item
from streams.features.item import Catalogue
from streams.features.meaning import Meanings
from streams.features.text import item_text

OATS = Item(item_id="a", title="Oat  milk", brand="Oatly", category=["food", "drinks"], price=2.5, currency="EUR")
CODE = np.array([1, 17, CODES], np.int32)


def shelf(*items: Item) -> Catalogue:
    catalogue = Catalogue()
    for item in items:
        catalogue.upsert(item)
    return catalogue


def test_the_text_of_an_item_has_all_that_is_told_of_it() -> None:
    assert item_text(OATS) == "Oat milk. brand Oatly. food > drinks. price from 2 to 4 EUR"
    assert item_text(Item(item_id="b", attributes={"package_size": "1 KG", "none": None})) == "package size 1 KG"
    assert item_text(Item(item_id="c")) == ""
    assert not doctest.testmod(streams.features.text).failed


def test_a_stored_code_comes_back() -> None:
    meanings, catalogue = Meanings(b"encoder1"), shelf(OATS)
    meanings.take(catalogue, OATS, None)
    assert meanings.waiting == {item_text(OATS): {"a": None}}
    assert not catalogue.semantic[0].any()
    meanings.take(catalogue, OATS, meanings.packed(item_text(OATS), CODE))
    assert not meanings.waiting
    assert np.array_equal(catalogue.semantic[0], CODE)


def test_of_another_text_the_code_stays_until_there_is_a_new_one() -> None:
    meanings, catalogue = Meanings(b"encoder1"), shelf(OATS)
    meanings.take(catalogue, OATS, meanings.packed("another text", CODE))
    assert np.array_equal(catalogue.semantic[0], CODE)
    assert list(meanings.waiting) == [item_text(OATS)]


@pytest.mark.parametrize("stored", [Meanings(b"encoder2").packed(item_text(OATS), CODE), b"", b"encoder1", b"x" * 99])
def test_the_code_of_another_encoder_and_what_is_none_count_for_nothing(stored: bytes) -> None:
    meanings, catalogue = Meanings(b"encoder1"), shelf(OATS)
    catalogue.semantic[0] = CODE
    meanings.take(catalogue, OATS, stored)
    assert not catalogue.semantic[0].any()
    assert list(meanings.waiting) == [item_text(OATS)]


def test_a_text_waits_once_for_all_its_items_and_until_the_last_is_gone() -> None:
    same = Item(item_id="b", title="Oat milk", brand="Oatly", category=["food", "drinks"], price=3.0, currency="EUR")
    meanings, catalogue = Meanings(b"encoder1"), shelf(OATS, same)
    for item in (OATS, same):
        meanings.take(catalogue, item, None)
    (text,) = meanings.waiting
    assert list(meanings.waiting[text]) == ["a", "b"]
    meanings.drop("a")
    meanings.drop("a")
    assert list(meanings.waiting[text]) == ["b"]
    meanings.done(text, ["a", "b"])
    assert not meanings.waiting


def test_a_text_that_changed_while_it_was_encoded_waits_as_it_is_now() -> None:
    meanings, catalogue = Meanings(b"encoder1"), shelf(OATS)
    meanings.take(catalogue, OATS, None)
    now = Item(item_id="a", title="Barista")
    meanings.take(catalogue, now, None)
    meanings.done(item_text(OATS), ["a"])
    assert meanings.waiting == {"Barista": {"a": None}}


def test_an_item_without_words_waits_for_nothing() -> None:
    meanings, catalogue = Meanings(b"encoder1"), shelf(Item(item_id="a"))
    meanings.take(catalogue, Item(item_id="a"), None)
    assert not meanings.waiting
    assert catalogue.semantic.shape[1] == CODE_LEVELS
