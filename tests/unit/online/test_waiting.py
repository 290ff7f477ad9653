"""What waits closes in the order in which it was served, and takes no more memory than it may."""

from typing import Any

from streams.online.waiting import Due, Waiting, Windows
from tests.unit.building import at, wire
from tests.unit.online.joining import WINDOW_MIN, Shop, ask, scenario

WINDOWS = Windows(signal_ms=100, purchase_ms=50)
LEDGER: Any = object()


def waiting(count: int, cached: int = 10) -> Waiting:
    """Return `count` slates, all served at 0, each of another user; the store tells of them in no order."""
    said = {f"0-0-{n}": f"0 u{n}" for n in range(count)}
    return Waiting(WINDOWS, dict(reversed(said.items())), cached)


def test_slates_of_one_moment_close_as_they_were_served() -> None:
    assert [due.slate_id for due in waiting(12)] == [f"0-0-{n}" for n in range(12)]
    newer = Waiting(WINDOWS, {"1-0-0": "7 u", "0-0-5": "7 u", "0-0-9": "3 u"}, 10)
    assert [due.slate_id for due in newer] == ["0-0-9", "0-0-5", "1-0-0"]
    assert newer.of("u") == ("0-0-9", "0-0-5", "1-0-0")


def test_a_batch_loads_what_it_may_close_and_what_its_users_have() -> None:
    assert waiting(9).missing([], 101, 3) == ["0-0-0", "0-0-1", "0-0-2"]
    assert waiting(9).missing([], 100, 3) == []
    assert waiting(9).missing(["u1", "u8"], 101, 2) == ["0-0-1", "0-0-8", "0-0-0", "0-0-2", "0-0-3"]
    assert waiting(9).missing(["u1"], 100, 2) == ["0-0-1"]


def test_the_latest_ledgers_are_held_and_none_of_a_slate_that_closed() -> None:
    some = waiting(4, cached=2)
    some.update({}, {f"0-0-{n}": LEDGER for n in range(3)})
    assert [some.ledger(f"0-0-{n}") for n in range(4)] == [None, LEDGER, LEDGER, None]
    some.update({}, {"0-0-1": LEDGER})
    some.update({"0-0-9": Due(5, "0-0-9", "u1")}, {"0-0-9": LEDGER})
    assert [some.ledger(f"0-0-{n}") for n in (1, 2, 9)] == [LEDGER, None, LEDGER]
    some.update({}, {"0-0-1": None})
    assert (some.ledger("0-0-1"), some.of("u1"), len(some)) == (None, ("0-0-9",), 4)


@scenario
async def test_what_closes_in_place_of_erased_slates_was_loaded() -> None:
    shop = await Shop.open()
    await shop.send(ask("a", 0), ask("b", 0), ask("c", 0), ask("d", 0, "u2"), ask("e", 0, "u3"))
    await shop.pipeline.assign([0])
    await shop.send(wire("forget", at_ms=at(WINDOW_MIN + 1)))
    assert [one.request_id for one in shop.feedback] == ["d", "e"]
    assert await shop.stats() == {"written": 2, "erased": 3}
