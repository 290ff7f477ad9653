import msgspec
import pytest

from streams.errors import StoreMismatch
from streams.online.learner import Learner
from streams.online.saved import Saved
from streams.online.snapshot import CATEGORIES, ITEMS, Snapshot, decode, encode
from tests.unit.online.records import feedback, shown


def test_one_of_another_contract_is_refused_in_one_sentence_that_says_what_to_do() -> None:
    learner = Learner("ranker")
    for kind, one in ((Snapshot, learner.snapshot()), (Saved, learner.saved())):
        assert decode(kind, encode(one)) == one
        foreign = msgspec.msgpack.encode({"contract": "older", "weights": b""})
        with pytest.raises(StoreMismatch, match=r"^the online model in Redis is of contract older, .*--anew.*$"):
            decode(kind, foreign)
        with pytest.raises(StoreMismatch, match=r"^the online model in Redis can't be read .*--anew`$"):
            decode(kind, encode(one)[:-3])


def test_it_is_bounded_however_many_items_there_are() -> None:
    learner = Learner("ranker")
    sizes = []
    for number in range((ITEMS + CATEGORIES) // 200 + 1):
        items = [shown(f"i{number}-{n}", n, category=f"c{number}-{n}") for n in range(200)]
        learner.take(feedback(items, number))
        sizes.append(len(encode(learner.snapshot())))
    learner.take(feedback([shown(f"x{n}", n, category=f"x{n}") for n in range(200)], 1_000))
    assert len(encode(learner.snapshot())) <= max(sizes)
    assert len(encode(learner.snapshot())) < 410_000
    assert len(encode(learner.saved())) < 780_000
