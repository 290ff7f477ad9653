"""What the caller rules out is in no slate, whatever the kind; so are deleted, sold out and disliked items."""

from typing import Any

import pytest

from streams.features.user import EMPTY, UserState
from streams.retrieval.filters import allowed
from tests.unit.building import T0, event, folded, item
from tests.unit.shop import Shop

NAMES = ["plain", "cheap", "free", "dear", "unpriced", "sold_out", "deleted", "deep", "seen_only"]
KINDS: dict[str, dict[str, Any]] = {
    "for_you": {},
    "similar": {"item_id": "anchor"},
    "search": {"query": "thing"},
    "rerank": {"items": NAMES},
    "bundle": {"items": ["anchor"]},
}


def shop() -> Shop:
    path = ["clothing", "shoes", "running", "trail", "men"]
    made = Shop(
        item("plain", title="thing", brand="Acme", category=path[:2], price=50),
        item("cheap", title="thing", brand="Bolt", category=path[:1], price=9.99),
        item("free", title="thing", price=0),
        item("dear", title="thing", brand="Acme", category=["hats"], price=10_000_000),
        item("unpriced", title="thing", category=["hats", "shoes"]),
        item("sold_out", title="thing", price=50, in_stock=False, category=path),
        item("deleted", title="thing", price=50),
        item("deep", title="thing", price=50, category=path),
        item("anchor", title="other"),
    )
    made.catalogue.delete("deleted")
    made.sold(**dict.fromkeys(NAMES, 1))
    for name in NAMES:
        made.together("anchor", name)
    return made


def found(kind: str, filters: dict[str, Any], state: UserState = EMPTY) -> set[str]:
    return set(shop().candidates(kind, state=state, filters=filters, **KINDS[kind])) - {"anchor"}


CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"plain", "cheap", "free", "dear", "unpriced", "deep", "seen_only"}),
    ({"category": ["shoes"]}, {"plain", "unpriced", "deep"}),
    ({"category": ["hats", "trail"]}, {"dear", "unpriced", "deep"}),
    ({"category": ["men"]}, {"deep"}),
    ({"category": ["Acme"]}, set()),
    ({"brand": ["Acme"]}, {"plain", "dear"}),
    ({"brand": ["Acme", "Bolt"], "category": ["clothing"]}, {"plain", "cheap"}),
    ({"brand": ["nobody"]}, set()),
    ({"min_price": 9.99}, {"plain", "cheap", "dear", "deep"}),
    ({"min_price": 10}, {"plain", "dear", "deep"}),
    ({"max_price": 9.99}, {"cheap", "free"}),
    ({"max_price": 0}, {"free"}),
    ({"min_price": 0}, {"plain", "cheap", "free", "dear", "deep"}),
    ({"max_price": 9_999_999}, {"plain", "cheap", "free", "deep"}),
    ({"min_price": 10_000_001}, set()),
    ({"exclude": ["plain", "cheap", "never heard of"]}, {"free", "dear", "unpriced", "deep", "seen_only"}),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("filters", "wanted"), CASES)
def test_filters_hold_for_every_kind(kind: str, filters: dict[str, Any], wanted: set[str]) -> None:
    assert found(kind, filters) == wanted


def test_sold_out_items_come_if_asked_for() -> None:
    assert "sold_out" in found("rerank", {"in_stock": False})
    assert "sold_out" in found("similar", {"in_stock": False})
    assert "deleted" not in found("rerank", {"in_stock": False})


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_user_dislikes_is_not_shown(kind: str) -> None:
    state = folded((event("rating", item_id="plain", value=1), T0), (event("rating", item_id="cheap", value=5), T0))
    names = found(kind, {}, state)
    assert "plain" not in names
    assert "cheap" in names


def test_what_a_slate_goes_with_is_not_in_it() -> None:
    made = shop()
    assert "anchor" not in made.candidates("similar", item_id="anchor")
    assert "plain" not in made.candidates("similar", item_id="plain")
    basket = [f"b{n}" for n in range(15)]
    made.sold(**dict.fromkeys(basket, 50))
    assert not set(basket) & set(made.candidates("bundle", items=basket))
    state = folded(*((event("cart", item_id=name), T0) for name in basket))
    assert not set(basket) & set(made.candidates("bundle", state=state))
    assert set(basket) <= set(made.candidates("for_you", state=state))


def test_it_answers_item_by_item() -> None:
    made = shop()
    indices = made.catalogue.indices_of(["plain", "deleted", "plain", "sold_out"])
    assert allowed(made.asked(), indices).tolist() == [True, False, True, False]
