import base64
import hashlib
import json

from streams.contracts.slates import MAX_KEPT_BYTES, SlateItem, dead_letter, encode


def _letter(key: bytes | None, value: bytes | None) -> dict[str, object]:
    letter = dead_letter("odd", "$.x", topic="events", topic_id="t-1", partition=3, offset=9, key=key, value=value)
    decoded: dict[str, object] = json.loads(encode(letter))
    return decoded


def test_a_dead_letter_says_why_and_where_and_keeps_the_bytes() -> None:
    value = b'{"type":"\xff"}'
    assert _letter(b"u1", value) == {
        "reason": "odd", "path": "$.x", "topic": "events", "topic_id": "t-1", "partition": 3, "offset": 9,
        "sha256": hashlib.sha256(value).hexdigest(), "size_bytes": len(value),
        "bytes": base64.b64encode(value).decode(), "key": base64.b64encode(b"u1").decode(),
    }  # fmt: skip


def test_a_large_message_is_cut_but_its_size_and_hash_are_those_of_the_whole() -> None:
    value = b"x" * (MAX_KEPT_BYTES + 1)
    letter = _letter(b"k" * 5_000, value)
    assert base64.b64decode(str(letter["bytes"])) == value[:MAX_KEPT_BYTES]
    assert letter["size_bytes"] == len(value)
    assert letter["sha256"] == hashlib.sha256(value).hexdigest()
    assert len(base64.b64decode(str(letter["key"]))) == 1_024


def test_a_message_of_nothing() -> None:
    letter = _letter(None, None)
    assert (letter["bytes"], letter["size_bytes"], letter["key"]) == ("", 0, None)


def test_an_item_that_no_ranker_scored_has_no_probabilities() -> None:
    item = SlateItem(item_id="a", score=0.5, source="popular", reason="popular", propensity=1.0)
    assert "p" not in json.loads(encode(item))
