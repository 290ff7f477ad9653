import itertools
import random

import numpy as np
import pytest

from streams.contracts.wire import MAX_AT_MS, MIN_AT_MS
from streams.features import touch as t
from streams.features.touch import Touch

DAY = 1440
HALF_LIFE = t.RATE_HALF_LIFE_MIN
NOW = 30 * 365 * DAY


def some_touches() -> list[Touch]:
    fields = itertools.product(
        (0, 1, NOW, 2**25 - 1), (t.UNCART, t.VIEW, t.LIKED, t.REVIEW), (0, 1, 15), (0, 1, 7, 255), (0.0, 1.0, 2.5625),
        (0, 1, 4095),
    )  # fmt: skip
    return [Touch(*values) for values in fields]


def random_words(seed: int) -> list[int]:
    """Words as the fold makes them: purchases and other touches in any order of time."""
    drawn, words = random.Random(seed), []
    for _ in range(500):
        word: int | None = None
        for _ in range(drawn.randrange(1, 12)):
            at_min = NOW + drawn.randrange(-400 * DAY, 400 * DAY)
            purchase = drawn.random() < 0.5
            word = t.purchased(word, at_min) if purchase else t.touched(word, drawn.choice((0, 1, 2, 3, 5, 6)), at_min)
        assert word is not None
        words.append(word)
    return words


def test_round_trip() -> None:
    for touch in some_touches():
        word = t.pack(touch)
        assert t.unpack(word) == touch
        assert 0 <= word < 2**64


def test_what_is_too_large_saturates_and_spoils_no_other_field() -> None:
    assert t.unpack(t.pack(Touch(NOW, t.CART, 16, 256, 256.0, 4096))) == Touch(NOW, t.CART, 15, 255, 4095 / 16, 4095)
    word = t.pack(Touch(0, t.VIEW, 15, 255, 255.0, 4095))
    for _ in range(20):
        word = t.purchased(t.touched(word, t.CLICK, 1), 1)
    assert t.unpack(word) == Touch(1, t.PURCHASE, 15, 255, 4095 / 16, 4095)


def test_a_single_purchase_is_short() -> None:
    word = t.purchased(None, NOW)
    assert word < 2**32
    assert word == t.pack(Touch(NOW, t.PURCHASE, 0, 1, 1.0, 0))
    assert t.unpack(word) == Touch(NOW, t.PURCHASE, 0, 1, 1.0, 0)
    seen_before = t.purchased(t.touched(None, t.VIEW, NOW - 5), NOW)
    assert seen_before < 2**32
    assert t.unpack(seen_before) == Touch(NOW, t.PURCHASE, 1, 1, 1.0, 0)


def test_a_purchase_outlives_the_short_form() -> None:
    word = t.touched(t.purchased(None, NOW), t.VIEW, NOW + 3)
    assert t.unpack(word) == Touch(NOW, t.VIEW, 1, 1, 1.0, 0)
    assert t.unpack(t.purchased(word, NOW)) == Touch(NOW, t.PURCHASE, 1, 2, 2.0, 0)


def test_arrays_unpack_like_single_words() -> None:
    words = [*map(t.pack, some_touches()), *random_words(1)]
    columns = t.unpack_all(np.array(words, np.uint64))
    assert [Touch(*row) for row in zip(*(column.tolist() for column in columns), strict=True)] == [
        t.unpack(word) for word in words
    ]


def test_a_purchase_is_a_merge_with_one_basket() -> None:
    drawn = random.Random(3)
    for word in random_words(4):
        at_min = NOW + drawn.randrange(-600 * DAY, 600 * DAY)
        got = t.unpack(t.purchased(word, at_min))
        wanted = t.merged(t.unpack(word), Touch(at_min, t.PURCHASE, 0, 1, 1.0, 0))
        assert got._replace(rate=0.0, signal=0) == wanted._replace(rate=0.0, signal=0)
        assert got.rate == pytest.approx(wanted.rate, abs=1 / 16)
        assert got.signal == t.PURCHASE


def test_merging_is_symmetric_but_for_the_signal_of_a_tie() -> None:
    words = [t.unpack(word) for word in random_words(5)]
    for a, b in itertools.pairwise(words):
        one, other = t.merged(a, b), t.merged(b, a)
        assert one._replace(rate=0.0, signal=0) == other._replace(rate=0.0, signal=0)
        assert one.rate == pytest.approx(other.rate)


def test_the_rate_halves_in_a_half_life() -> None:
    word = t.purchased(t.purchased(None, NOW), NOW + HALF_LIFE)
    assert t.unpack(word).rate == 1.5
    assert t.unpack(t.purchased(word, NOW + 2 * HALF_LIFE)).rate == 1.75


def test_a_late_purchase_counts_at_its_own_time() -> None:
    late = t.unpack(t.purchased(t.purchased(None, NOW), NOW - HALF_LIFE))
    assert late == t.unpack(t.purchased(t.purchased(None, NOW - HALF_LIFE), NOW))
    assert (late.last_min, late.rate, late.bought, late.span_days) == (NOW, 1.5, 2, 60)


def test_a_late_touch_doesnt_turn_time_back() -> None:
    assert t.unpack(t.touched(t.touched(None, t.VIEW, NOW), t.CLICK, NOW - 9)) == Touch(NOW, t.CLICK, 2, 0, 0.0, 0)


def test_the_span_is_from_the_first_to_the_last_purchase() -> None:
    days = [3, 0, 10, 7]
    word: int | None = None
    for day in days:
        word = t.purchased(word, NOW + day * DAY)
    assert word is not None
    assert t.unpack(word).span_days == 10
    assert t.unpack(t.touched(word, t.VIEW, NOW + 90 * DAY)).span_days == 10


@pytest.mark.parametrize("before", [t.VIEW, t.CART, t.LIKED])
def test_a_touch_is_no_basket(before: int) -> None:
    word = t.touched(None, before, NOW)
    assert not t.basket_at(word, NOW)
    bought = t.purchased(word, NOW)
    assert t.basket_at(bought, NOW)
    assert t.basket_at(t.touched(bought, before, NOW), NOW)
    assert not t.basket_at(bought, NOW + 1)


def test_minutes_stay_in_their_bits() -> None:
    assert t.minutes(MIN_AT_MS) == 0
    assert t.minutes(MIN_AT_MS - 10**12) == 0
    assert t.minutes(MIN_AT_MS + 119_999) == 1
    assert t.minutes(MAX_AT_MS) == 2**25 - 1
    assert t.last_minute(t.pack(Touch(2**25 - 1, t.REVIEW, 15, 255, 255.0, 4095))) == 2**25 - 1
