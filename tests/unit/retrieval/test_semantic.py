"""Items that read like what the user is after: found by code, also without any behaviour, and they borrow it."""

import numpy as np
import pytest

from inference.tensors import CODE_LEVELS
from streams.contracts.items import Item
from streams.features.user import UserState
from streams.retrieval.likeness import LIKENESS, borrow, shared
from streams.retrieval.semantic import LIMIT, Semantic
from tests.unit.building import T0, event, folded
from tests.unit.shop import Shop


def shop(**codes: tuple[int, int, int]) -> Shop:
    """Return a shop of items with these codes."""
    made = Shop(*(Item(item_id=name, title=name) for name in codes))
    for name, code in codes.items():
        made.catalogue.semantic[made.catalogue.index[name]] = code
    return made


def viewed(*names: str) -> UserState:
    return folded(*((event("view", item_id=name), T0 + n) for n, name in enumerate(names)))


def test_the_more_numbers_are_shared_the_more_alike() -> None:
    code = np.array([5, 6, 7], np.int32)
    for other, count in (([5, 6, 7], 3), ([5, 6, 8], 2), ([5, 9, 7], 1), ([4, 6, 7], 0), ([0, 0, 0], 0)):
        assert shared(code, np.array(other, np.int32)) == count
    assert shared(np.zeros(3, np.int32), np.zeros(3, np.int32)) == 0
    assert len(LIKENESS) == CODE_LEVELS + 1
    assert np.all(np.diff(LIKENESS) > 0)
    assert LIKENESS[0] == 0


def test_what_reads_like_the_latest_item_comes_first_though_nobody_touched_it() -> None:
    made = shop(seen=(1, 2, 3), twin=(1, 2, 3), cousin=(1, 2, 9), distant=(1, 8, 8), other=(2, 2, 3), none=(0, 0, 0))
    found = made.found(Semantic(), state=viewed("seen"))
    assert made.names(found.items.tolist()) == ["twin", "cousin", "distant"]
    assert set(made.names(found.because.tolist())) == {"seen"}


def test_what_goes_with_the_latest_item_guides_too() -> None:
    made = shop(seen=(1, 1, 1), partner=(7, 7, 7), new=(7, 7, 7)).together("seen", "partner", 5000)
    found = made.found(Semantic(), state=viewed("seen"))
    assert made.names(found.items.tolist()) == ["new"]
    assert made.names(found.because.tolist()) == ["seen"]


def test_later_items_weigh_more_and_two_guides_more_than_one() -> None:
    made = shop(old=(1, 1, 1), late=(2, 2, 2), a=(1, 1, 1), b=(2, 2, 2))
    assert made.find(Semantic(), state=viewed("old", "late"))[:2] == ["b", "a"]
    made = shop(one=(1, 1, 1), two=(1, 1, 2), late=(3, 3, 3), both=(1, 1, 3), alone=(3, 3, 4))
    assert made.find(Semantic(), state=viewed("one", "two", "late"))[0] == "both"


@pytest.mark.parametrize("kind", ["for_you", "similar"])
def test_without_codes_or_a_start_it_finds_nothing(kind: str) -> None:
    assert shop(a=(0, 0, 0), b=(0, 0, 0)).find(Semantic(), kind, state=viewed("a"), item_id="a") == []
    assert shop(a=(1, 1, 1), b=(1, 1, 1)).find(Semantic()) == []


def test_what_was_taken_out_is_not_found_and_what_came_is() -> None:
    made, source = shop(seen=(1, 1, 1), gone=(1, 1, 1)), Semantic()
    assert made.find(source, state=viewed("seen")) == ["gone"]
    made.catalogue.delete("gone")
    made.catalogue.semantic[made.catalogue.upsert(Item(item_id="come"))] = 1
    assert made.find(source, state=viewed("seen")) == ["come"]


def test_of_many_the_most_alike_are_kept() -> None:
    codes = {f"i{n}": (1, 1 + n % 5, 1 + n // 5) for n in range(4 * LIMIT)}
    found = shop(seen=(1, 1, 200), **codes).find(Semantic(), state=viewed("seen"))
    assert len(found) == LIMIT
    assert {name for name, code in codes.items() if code[1] == 1} <= set(found)


def test_an_item_without_behaviour_borrows_that_of_those_like_it() -> None:
    made = shop(seen=(9, 9, 9), known=(1, 1, 1), cousin=(1, 1, 2), new=(1, 1, 1), far=(5, 5, 5))
    made.sold(known=5, cousin=5).together("seen", "known", 4000).together("seen", "cousin", 1000)
    blended = made.blended(state=viewed("seen"))
    pairs = {made.catalogue.ids[item]: blended.pairs[k, 0] for k, item in enumerate(blended.items.tolist())}
    near, nearer = LIKENESS[2], LIKENESS[3]
    assert pairs["new"] == pytest.approx((nearer * pairs["known"] + near * pairs["cousin"]) / (near + nearer))
    assert pairs["far"] == 0


def test_what_has_behaviour_or_no_code_borrows_nothing() -> None:
    codes = np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0], [1, 1, 1]], np.int32)
    popular = np.array([1.0, 2.0, 0.0, 0.0])
    pairs, counts = np.array([[3.0], [0.0], [0.0], [0.0]]), np.array([[6.0], [0.0], [0.0], [0.0]], np.float32)
    borrow(codes, popular, pairs, counts)
    assert pairs[:, 0].tolist() == [3.0, 0.0, 0.0, 1.5]
    assert counts[:, 0].tolist() == [6.0, 0.0, 0.0, 3.0]
