import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streams.agents.catalogue import item_change
from streams.contracts.events import decode_event
from streams.contracts.items import decode_item
from streams.contracts.partition import partition_of
from streams.contracts.slates import dead_letter, encode
from streams.decode import Decoder, Record
from streams.errors import BadEvent
from streams.features.item import Catalogue
from streams.features.user import UserState, check_state, pack_state, unpack_state
from tests.property.logs import fields
from tests.unit.building import T0

VALID = fields.map(lambda event: json.dumps(event).encode())
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid event with some bytes replaced, inserted or cut."""
    value = bytearray(draw(VALID))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


@st.composite
def mistyped(draw: st.DrawFn) -> bytes:
    """A valid event with one field replaced by any JSON, or an unknown one added."""
    event: dict[str, Any] = dict(draw(fields))
    name = draw(st.sampled_from([*event, "state", "partition", "context", "new"]))
    return json.dumps(event | {name: draw(ANY_JSON)}).encode()


@given(st.one_of(st.binary(max_size=200), mutated(), mistyped(), ANY_JSON.map(lambda v: json.dumps(v).encode())))
def test_bytes_are_an_event_or_a_bad_event(value: bytes) -> None:
    for decode in (decode_event, decode_item):
        bad = refusal(decode, value)
        assert bad is None or (bad.reason and bad.path.startswith("$"))


def refusal(decode: Callable[[Any], object], value: bytes | None) -> BadEvent | None:
    """Return why `value` is refused, if it is; any other error is a failure."""
    try:
        decode(value)
    except BadEvent as bad:
        return bad
    return None


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
ITEM = st.fixed_dictionaries(
    {"item_id": st.sampled_from(["i1", "i2", "ü3"])},
    optional={
        "title": PLAIN, "brand": PLAIN, "category": st.lists(PLAIN, max_size=4), "price": st.floats(0, 1e6),
        "currency": st.just("EUR"), "in_stock": st.booleans(), "attributes": st.dictionaries(PLAIN, PLAIN, max_size=3),
        "tags": st.lists(PLAIN, max_size=3), "vectors": st.dictionaries(PLAIN, st.lists(st.floats(-1, 1)), max_size=2),
    },
)  # fmt: skip
"""The fields of one valid item."""


@st.composite
def items(draw: st.DrawFn) -> bytes:
    """A valid item, or one with a field of any JSON, or with some bytes replaced, inserted or cut."""
    item: dict[str, Any] = draw(ITEM)
    if draw(st.booleans()):
        item = item | {draw(st.sampled_from([*item, "price", "category", "new"])): draw(ANY_JSON)}
    value = bytearray(json.dumps(item).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(value)))
        value[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(value)


KEYS = st.none() | st.binary(max_size=200) | st.sampled_from([b"i1", b"i2", "ü3".encode()])
CHANGES = st.lists(st.tuples(KEYS, st.none() | items() | st.binary(max_size=50)), max_size=20)


@given(CHANGES)
def test_whatever_comes_as_an_item_the_catalogue_holds_no_more_than_was_named(
    changes: list[tuple[bytes | None, bytes | None]],
) -> None:
    catalogue, named = Catalogue(), set()
    for key, value in changes:
        bad = refusal(lambda value, key=key: item_change(key, value), value)  # type: ignore[misc]
        if bad is not None:
            assert bad.path.startswith("$")
            continue
        change = item_change(key, value)
        named.add(change.item_id)
        if change.value is None:
            catalogue.delete(change.item_id)
        else:
            assert decode_item(change.value).item_id == change.item_id
            catalogue.upsert(decode_item(change.value))
    assert len(catalogue) <= len(named)


records = st.builds(
    Record,
    partition=st.integers(0, 3),
    offset=st.integers(0, 9),
    key=st.none() | st.binary(max_size=5) | st.sampled_from([b"u1", b"u2"]),
    value=st.none() | mutated() | mistyped() | VALID,
    timestamp_ms=st.integers(-(2**63), 2**63 - 1) | st.just(T0),
)


@given(records, st.none() | st.just(b"u1"))
def test_a_record_is_decoded_with_a_sane_time_and_key_or_refused_with_a_letter(record: Record, trusted: bytes) -> None:
    if trusted is not None and partition_of(trusted, 4) != record.partition:
        trusted = None  # a key is trusted only in its own partition
    decoder = Decoder(4, 86_400_000)
    try:
        decoded = decoder.decode(record, trusted_key=trusted)
    except BadEvent as bad:
        why, path = bad.reason, bad.path
        place = {"topic": "events", "topic_id": "t", "partition": 0, "offset": 0}
        encode(dead_letter(why, path, **place, key=record.key, value=record.value))  # type: ignore[arg-type]
        return
    assert 788_918_400_000 <= decoded.at_ms <= 4_102_444_800_000
    user = getattr(decoded.event, "user_id", None)
    assert record.key == (None if user is None else user.encode())
    assert record.key is None or partition_of(record.key, 4) == record.partition


@given(fields)
def test_an_event_survives_being_encoded_again(event: dict[str, Any]) -> None:
    decoded = decode_event(json.dumps(event).encode())
    assert decode_event(msgspec.json.encode(decoded)) == decoded


words = st.integers(0, 2**64 - 1)


@given(st.binary(max_size=60) | st.lists(ANY_JSON, max_size=9).map(lambda v: msgspec.msgpack.encode(_finite(v))))
def test_what_is_taken_for_a_state_is_one(packed: bytes) -> None:
    try:
        check_state(packed)
    except msgspec.MsgspecError:
        return
    state = unpack_state(packed)
    assert isinstance(state, UserState)
    check_state(pack_state(state))


def _finite(value: Any) -> Any:
    """Replace integers that msgpack has no room for."""
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return 0
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return {k: _finite(v) for k, v in value.items()} if isinstance(value, dict) else value
