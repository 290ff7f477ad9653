import json

import msgspec
import pytest

from streams.contracts import events as ev
from streams.contracts.partition import partition_of
from streams.decode import Decoded, Decoder, Record
from streams.errors import BadEvent
from streams.features.touch import Touch, pack
from streams.features.user import EMPTY, UserState, fold, pack_state
from tests.unit.building import DAY, HOUR, T0, event, raw, wire

VIEW = wire("view", item_id="a")


def decode(record: Record, partitions: int = 1, trusted_key: bytes | None = None) -> Decoded:
    return Decoder(partitions, max_future_ms=DAY).decode(record, trusted_key=trusted_key)


def refused(record: Record, partitions: int = 1, trusted_key: bytes | None = None) -> BadEvent:
    with pytest.raises(BadEvent) as caught:
        decode(record, partitions, trusted_key)
    return caught.value


def test_the_events_own_time_counts_and_else_that_of_kafka() -> None:
    assert decode(raw(VIEW, timestamp_ms=T0 + 5)).at_ms == T0
    assert decode(raw(wire("view", at_ms=None, item_id="a"), timestamp_ms=T0 + 5)).at_ms == T0 + 5


@pytest.mark.parametrize("timestamp_ms", [-1, 0, T0 // 1000, T0 * 1000])
def test_without_a_time_of_its_own_an_event_needs_a_sane_one_of_kafka(timestamp_ms: int) -> None:
    assert refused(raw(wire("view", at_ms=None, item_id="a"), timestamp_ms=timestamp_ms)).path == "$.at_ms"


def test_a_time_far_after_kafkas_is_refused_and_one_before_it_is_late() -> None:
    assert decode(raw(VIEW, timestamp_ms=T0 - DAY)).at_ms == T0
    error = refused(raw(VIEW, timestamp_ms=T0 - DAY - HOUR))
    assert (error.path, error.reason) == ("$.at_ms", "lies 25 hours after Kafka's timestamp")
    assert decode(raw(VIEW, timestamp_ms=T0 + 1_000 * DAY)).at_ms == T0


@pytest.mark.parametrize(
    ("key", "path"),
    [(None, "key"), (b"", "key"), (b"u2", "key"), (b"u1 ", "key"), (b"\xff", "key")],
)
def test_the_key_must_be_the_user(key: bytes | None, path: str) -> None:
    assert refused(raw(VIEW, key)).path == path


def test_a_key_that_was_checked_before_is_still_no_other_user() -> None:
    stranger = raw(wire("view", "u2", item_id="a"), b"u1")
    assert refused(stranger, trusted_key=b"u1").path == "key"


def test_another_partition_than_murmur2_says_names_the_setting() -> None:
    right = partition_of(b"u1", 8)
    for partition in range(8):
        record = Record(partition, 0, b"u1", VIEW, T0)
        if partition == right:
            assert decode(record, 8).record is record
        else:
            error = refused(record, 8)
            assert error.path == "key"
            assert "`murmur2_random`" in error.reason
            assert f"partition {partition}, not {right}" in error.reason


def test_a_user_of_another_alphabet() -> None:
    assert decode(raw(wire("view", "ü-用户", item_id="a"), "ü-用户".encode())).event.user_id == "ü-用户"


def test_null_is_no_event() -> None:
    assert "forget" in refused(raw(None)).reason


def test_a_tick_is_that_of_its_own_partition_and_has_no_key() -> None:
    tick = b'{"type":"tick","partition":%d,"at_ms":%d}'
    assert decode(raw(tick % (0, T0), None)).event == ev.Tick(partition=0, at_ms=T0)
    assert refused(raw(tick % (1, T0), None)).path == "$.partition"
    assert refused(raw(tick % (0, T0), b"u1")).path == "$.partition"
    assert refused(raw(tick % (0, T0 + 2 * DAY), None)).path == "$.at_ms"


@pytest.mark.parametrize("topic", ["events", "items", "feedback", "dead-letters", "models"])
def test_an_answer_cant_be_sent_to_a_topic_of_our_own(topic: str) -> None:
    request = wire("request", request_id="r", reply_to=topic)
    assert refused(raw(request)).path == "$.reply_to"


@pytest.mark.parametrize("topic", ["recommendations", "shop-7.answers"])
def test_an_answer_may_go_elsewhere(topic: str) -> None:
    assert decode(raw(wire("request", request_id="r", reply_to=topic))).event.reply_to == topic


def absorb(state: bytes) -> Record:
    return raw(msgspec.json.encode(ev.Absorb(user_id="u1", anonymous_id="a", at_ms=T0, state=state)))


def test_an_absorb_brings_a_packed_state() -> None:
    state = fold(EMPTY, event("purchase", "a", item_id="x"), T0)
    assert decode(absorb(pack_state(state))).event.state == pack_state(state)


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"\xff\xff",
        msgspec.msgpack.encode({"items": {}}),
        msgspec.msgpack.encode(["yesterday"]),
        pack_state(EMPTY)[:-1],
        pack_state(UserState(items={"x": -1})),
        pack_state(UserState(items={"": 1})),
        pack_state(UserState(items={f"x{n}": 1 for n in range(1_001)})),
        pack_state(UserState(baskets=-5)),
        pack_state(UserState(last_ms=T0 * 1_000)),
        pack_state(UserState(cart=tuple(f"x{n}" for n in range(51)))),
        pack_state(UserState(queries=("q" * 65,))),
        pack_state(UserState(seen=b"x" * 8 * 33)),
        pack_state(UserState(cart=("ab",))).replace(b"ab", b"\xff\xfe"),
        pack_state(EMPTY).replace(b"\x99", b"\x9a", 1) + b"\x91" * 100_000 + b"\x00",
    ],
)
def test_a_forged_state_is_refused(forged: bytes) -> None:
    error = refused(absorb(forged))
    assert error.path == "$.state"
    assert error.reason.startswith("not a packed user state")


def test_the_largest_word_passes() -> None:
    word = pack(Touch(2**25 - 1, 6, 15, 255, 255.0, 4095))
    assert word > 2**63
    state = pack_state(UserState(items={"x": word}))
    assert decode(absorb(state)).event.state == state


def test_decoding_doesnt_depend_on_the_order_of_fields() -> None:
    fields = json.loads(VIEW)
    turned = json.dumps(dict(reversed(fields.items()))).encode()
    assert decode(raw(turned)).event == decode(raw(VIEW)).event
