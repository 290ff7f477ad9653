import json

import msgspec
import pytest

from streams.contracts import events as ev
from streams.contracts.wire import MAX_ID_LENGTH, MAX_MESSAGE_BYTES
from streams.errors import BadEvent
from streams.features.user import EMPTY, pack_state
from tests.unit.building import T0, wire

GOOD = {
    ev.View: wire("view", item_id="sku-1"),
    ev.Click: (
        b'{"type":"click","event_id":"7f1c","user_id":"u42","at_ms":1732212345678,"item_id":"sku-1","session_id":"s9",'
        b'"request_id":"r-77","position":3,"context":{"device":"ios","page":"home"}}'
    ),
    ev.Cart: wire("cart", item_id="sku-1"),
    ev.Uncart: wire("uncart", item_id="sku-1"),
    ev.Purchase: wire("purchase", item_id="sku-1", quantity=2, price=9.99, currency="EUR", order_id="o1"),
    ev.Search: wire("search", query="red shoes"),
    ev.Impression: wire("impression", request_id="r-77", items=["sku-1", "sku-2"]),
    ev.Rating: wire("rating", item_id="sku-1", value=4.5),
    ev.Review: wire("review", item_id="sku-1", text="fits"),
    ev.Request: (
        b'{"type":"request","request_id":"r-77","user_id":"u42","kind":"for_you","k":10,"deadline_ms":1732212346678,'
        b'"filters":{"category":["shoes"],"in_stock":true,"exclude":["sku-9"]},"context":{"page":"home"}}'
    ),
    ev.Forget: wire("forget"),
    ev.Alias: wire("alias", login="u42"),
    ev.Absorb: wire("absorb", anonymous_id="a", state="kA=="),
    ev.Tick: b'{"type":"tick","partition":3,"at_ms":1732212345678}',
}


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.__name__)
def test_every_type_decodes_to_its_fields(kind: type) -> None:
    event = ev.decode_event(GOOD[kind])
    assert type(event) is kind
    for name, value in json.loads(GOOD[kind]).items():
        if name not in ("type", "state"):
            kept = getattr(event, name)
            assert kept == (ev.Filters(category=["shoes"], exclude=["sku-9"]) if name == "filters" else value), name


def test_no_type_was_left_out() -> None:
    assert set(GOOD) == set(ev.Event.__args__)


def test_unknown_fields_are_ignored() -> None:
    assert ev.decode_event(wire("view", item_id="a", colour="red")) == ev.View(user_id="u1", item_id="a", at_ms=T0)


@pytest.mark.parametrize("kind", ["similar", "search", "rerank"])
def test_a_request_needs_what_its_kind_starts_from(kind: str) -> None:
    with pytest.raises(BadEvent, match=f"`{kind}` needs"):
        ev.decode_event(wire("request", request_id="r", kind=kind))


@pytest.mark.parametrize(
    ("fields", "kind"),
    [({"item_id": "a"}, "similar"), ({"query": "q"}, "search"), ({"items": ["a"]}, "rerank"), ({}, "bundle")],
)
def test_a_request_with_what_it_needs_decodes(fields: dict[str, object], kind: str) -> None:
    assert ev.decode_event(wire("request", request_id="r", kind=kind, **fields)).kind == kind


BAD = {
    "not JSON": (b"view u1 sku-1", "$"),
    "empty": (b"", "$"),
    "cut off": (wire("view", item_id="a")[:-1], "$"),
    "two values": (wire("view", item_id="a") * 2, "$"),
    "not UTF-8": (b'{"type":"view","user_id":"u1","item_id":"\xff\xfe"}', "$"),
    "not UTF-8 where nobody looks": (b'{"type":"view","user_id":"u1","item_id":"a","more":"\xff\xfe"}', "$"),
    "half a surrogate pair": (b'{"type":"view","user_id":"\\ud800","item_id":"a"}', "$"),
    "too large": (wire("review", item_id="a", text="x", pad="y" * MAX_MESSAGE_BYTES), "$"),
    "too deep": (b'{"type":"view","x":' + b"[" * 50_000, "$"),
    "NaN": (b'{"type":"rating","user_id":"u1","item_id":"a","value":NaN}', "$"),
    "infinite": (b'{"type":"purchase","user_id":"u1","item_id":"a","price":1e999}', "$.price"),
    "a list": (b"[]", "$"),
    "no type": (b'{"user_id":"u1","item_id":"a"}', "$"),
    "unknown type": (wire("wink", item_id="a"), "$.type"),
    "no user": (b'{"type":"view","item_id":"a"}', "$"),
    "no item": (wire("view"), "$"),
    "null item": (wire("view", item_id=None), "$.item_id"),
    "number as id": (wire("view", item_id=7), "$.item_id"),
    "empty id": (wire("view", item_id=""), "$.item_id"),
    "long id": (wire("view", item_id="x" * (MAX_ID_LENGTH + 1)), "$.item_id"),
    "long user": (wire("forget", "x" * (MAX_ID_LENGTH + 1)), "$.user_id"),
    "bad element": (wire("impression", request_id="r", items=["a", "b", "c", ""]), "$.items[3]"),
    "too many items": (wire("impression", request_id="r", items=["a"] * 1001), "$.items"),
    "seconds": (wire("view", at_ms=T0 // 1000, item_id="a"), "$.at_ms"),
    "microseconds": (wire("view", at_ms=T0 * 1000, item_id="a"), "$.at_ms"),
    "negative time": (wire("view", at_ms=-T0, item_id="a"), "$.at_ms"),
    "enormous time": (wire("view", at_ms=10**30, item_id="a"), "$.at_ms"),
    "text as time": (b'{"type":"forget","user_id":"u1","at_ms":"2024-11-21"}', "$.at_ms"),
    "quantity 0": (wire("purchase", item_id="a", quantity=0), "$.quantity"),
    "negative price": (wire("purchase", item_id="a", price=-1), "$.price"),
    "currency": (wire("purchase", item_id="a", currency="euro"), "$.currency"),
    "rating 6": (wire("rating", item_id="a", value=6), "$.value"),
    "position": (wire("click", item_id="a", position=-1), "$.position"),
    "k 0": (wire("request", request_id="r", k=0), "$.k"),
    "k 101": (wire("request", request_id="r", k=101), "$.k"),
    "kind": (wire("request", request_id="r", kind="magic"), "$.kind"),
    "filter": (wire("request", request_id="r", filters={"max_price": "cheap"}), "$.filters.max_price"),
    "reply_to": (wire("request", request_id="r", reply_to="a b"), "$.reply_to"),
    "nested context": (wire("view", item_id="a", context={"a": {}}), "$.context[...]"),
    "base64": (wire("absorb", anonymous_id="a", state="!!"), "$.state"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_with_its_path(name: str) -> None:
    value, path = BAD[name]
    with pytest.raises(BadEvent) as caught:
        ev.decode_event(value)
    assert caught.value.path == path
    assert caught.value.reason
    assert " - at `" not in caught.value.reason


def test_a_message_of_just_the_limit_is_no_error() -> None:
    short = wire("view", item_id="a", pad="")
    full = wire("view", item_id="a", pad="y" * (MAX_MESSAGE_BYTES - len(short)))
    assert len(full) == MAX_MESSAGE_BYTES
    assert ev.decode_event(full) == ev.decode_event(short)


def test_an_absorb_survives_json() -> None:
    event = ev.Absorb(user_id="u42", anonymous_id="a", event_id="absorb-0-1-2", at_ms=T0, state=pack_state(EMPTY))
    assert ev.decode_event(msgspec.json.encode(event)) == event
