"""Each protocol on logs small enough to know by heart: what is learned, what is asked, in which order."""

from dataclasses import replace
from pathlib import Path

import pytest

from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from tests.unit.building import DAY, T0, at, wire
from tests.unit.evaluation.files import bought, cases, click, learned, log_of, walked

FREE, MASKED, STRICT = Chosen(), Chosen(masked=True), Chosen(strict=True)


def of(name: str, log: Log, chosen: Chosen = FREE) -> list[str | Case]:
    return walked(PROTOCOLS[name](chosen), log)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Two users, turn by turn: u1 a b a c, u2 x, u3 a b."""
    lines = [("u1", "a"), ("u2", "x"), ("u1", "b"), ("u3", "a"), ("u1", "a"), ("u1", "c"), ("u3", "b")]
    return log_of(tmp_path, *(click(user, item, minute) for minute, (user, item) in enumerate(lines)))


def test_prequential_predicts_each_signal_then_learns_it(log: Log) -> None:
    assert of("prequential", log) == [
        *(Case("u1", at(0), (), ("a",)), "u1:a"),
        *(Case("u2", at(1), (), ("x",)), "u2:x"),
        *(Case("u1", at(2), ("a",), ("b",)), "u1:b"),
        *(Case("u3", at(3), (), ("a",)), "u3:a"),
        *(Case("u1", at(4), ("a", "b"), ("a",)), "u1:a"),
        *(Case("u1", at(5), ("a", "b", "a"), ("c",)), "u1:c"),
        *(Case("u3", at(6), ("a",), ("b",)), "u3:b"),
    ]


def test_prequential_with_masked_histories_asks_for_new_items_only(log: Log) -> None:
    steps = of("prequential", log, MASKED)
    assert [(one.user_id, *one.targets, one.masked) for one in cases(steps) if one.user_id == "u1"] == [
        ("u1", "a", frozenset()),
        ("u1", "b", frozenset("a")),
        ("u1", "c", frozenset("ab")),
    ]
    assert len(learned(steps)) == 7


def test_prequential_learns_all_and_predicts_from_the_split_on(log: Log) -> None:
    steps = of("prequential", log, Chosen(split_ms=at(5)))
    assert steps[:5] == ["u1:a", "u2:x", "u1:b", "u3:a", "u1:a"]
    assert [one.at_ms for one in cases(steps)] == [at(5), at(6)]


def test_next_basket_predicts_the_first_order_after_the_split(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        *(bought("u1", "a", 0, "o1"), bought("u2", "z", 1, "o2"), click("u1", "b", 2)),
        *(click("u1", "c", 10), click("u2", "q", 10), bought("u1", "d", 11, "o3"), bought("u1", "e", 12, "o3")),
        *(bought("u1", "d", 12, "o3"), bought("u3", "n", 13), bought("u3", "m", 13), bought("u3", "late", 14)),
        bought("u1", "f", 15, "o4"),
    )
    assert of("next-basket", log, Chosen(split_ms=at(10))) == [
        *("u1:a", "u2:z", "u1:b"),
        Case("u1", at(11), ("a", "b"), ("d", "e"), kind="purchase"),
        Case("u3", at(13), (), ("n", "m"), kind="purchase"),
    ]


def test_next_basket_masks_what_the_user_had(tmp_path: Path) -> None:
    log = log_of(tmp_path, bought("u1", "a", 0), bought("u1", "b", 1), bought("u1", "a", 5), bought("u1", "c", 5))
    (case,) = cases(of("next-basket", log, Chosen(split_ms=at(5), masked=True)))
    assert (case.masked, case.targets) == (frozenset("ab"), ("a", "c"))


def test_the_default_split_leaves_the_last_tenth_of_the_time(tmp_path: Path) -> None:
    log = log_of(tmp_path, *(bought("u1", f"i{minute}", minute) for minute in range(101)))
    steps = of("next-basket", log)
    assert learned(steps) == [f"u1:i{n}" for n in range(90)]
    assert [one.targets for one in cases(steps)] == [("i90",)]
    assert of("next-basket", log, Chosen(split_ms=at(90))) == steps


def test_a_fit_of_next_basket_splits_a_tenth_of_the_time_earlier(tmp_path: Path) -> None:
    log = log_of(tmp_path, *(bought("u1", f"i{minute}", minute) for minute in range(101)))
    steps = walked(PROTOCOLS["next-basket"](FREE).before(log), log)
    assert learned(steps) == [f"u1:i{n}" for n in range(81)]
    assert [one.targets for one in cases(steps)] == [("i81",)]


def test_a_fit_that_predicts_from_the_first_event_on_needs_a_split(log: Log) -> None:
    for name in ("prequential", "rerank"):
        with pytest.raises(Misuse, match=f"--fit: {name} .* from the first event on: give it a --split"):
            PROTOCOLS[name](FREE).before(log)


def test_in_an_unsorted_log_time_says_what_lies_before_the_split(tmp_path: Path) -> None:
    log = log_of(tmp_path, bought("u1", "new", 9), click("u1", "old", 1), bought("u2", "newer", 12))
    steps = of("next-basket", log, Chosen(split_ms=at(5)))
    assert learned(steps) == ["u1:old"]
    assert [(one.history, one.targets) for one in cases(steps)] == [(("old",), ("new",)), ((), ("newer",))]


def shown(user: str, minute: float, request: str, *items: str) -> bytes:
    return wire("impression", user, at(minute), request_id=request, items=list(items))


def test_rerank_asks_for_what_was_shown_and_touched_afterwards(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        *(click("u1", "c", 0, request_id="r1"), click("u1", "q", 0), shown("u1", 1, "r1", "a", "b", "c", "b")),
        *(click("u1", "z", 2, request_id="r1"), bought("u1", "other", 2)),
        *(wire("cart", "u1", at(3), item_id="b", request_id="r1"), click("u1", "a", 4, request_id="r1")),
        *(click("u1", "b", 4, request_id="r1"), shown("u1", 5, "r1", "a", "b"), shown("u2", 5, "r2", "a", "b")),
    )
    steps = of("rerank", log)
    assert cases(steps) == [Case("u1", at(1), ("c", "q"), ("b", "a"), given=("a", "b", "c"), kind="cart")]
    assert steps.index("u1:impression") == steps.index(cases(steps)[0]) + 1
    assert len(learned(steps)) == 10


def test_rerank_scores_from_the_split_on(tmp_path: Path) -> None:
    lines = [(shown(f"u{n}", n, f"r{n}", "a", "b"), click(f"u{n}", "b", n + 0.5, request_id=f"r{n}")) for n in range(6)]
    log = log_of(tmp_path, *(line for pair in lines for line in pair))
    assert [one.user_id for one in cases(of("rerank", log, Chosen(split_ms=at(4))))] == ["u4", "u5"]


@pytest.mark.parametrize("name", ["prequential", "next-basket", "holdout-last"])
def test_a_forgotten_user_has_no_history(tmp_path: Path, name: str) -> None:
    log = log_of(
        tmp_path,
        *(bought("u1", "a", 0), wire("forget", "u1", at(1)), bought("u1", "b", 2), bought("u1", "c", 30)),
    )
    chosen = Chosen(masked=True, split_ms=None if name == "holdout-last" else at(30))
    (case,) = cases(of(name, log, chosen))
    assert (case.history, case.masked, case.targets) == (("b",), frozenset("b"), ("c",))


@pytest.mark.parametrize("name", ["prequential", "next-basket", "holdout-last"])
def test_an_alias_moves_the_history_to_the_login_in_the_order_in_which_it_came(tmp_path: Path, name: str) -> None:
    log = log_of(
        tmp_path,
        *(bought("login", "a", 0), bought("anon", "x", 1), bought("login", "b", 2), bought("anon", "y", 3)),
        *(wire("alias", "anon", at(4), login="login"), wire("alias", "login", at(5), login="login")),
        *(bought("login", "c", 30), wire("alias", "nobody", at(31), login="new")),
    )
    chosen = Chosen(masked=True, split_ms=None if name == "holdout-last" else at(30))
    (case,) = cases(of(name, log, chosen))
    assert (case.user_id, case.history, case.masked) == ("login", tuple("axby"), frozenset("axby"))


def test_histories_are_of_the_latest_items_and_all_are_masked(tmp_path: Path) -> None:
    lines = [click("u1", f"i{n}", n) for n in range(100)]
    log = log_of(tmp_path, *lines, wire("alias", "u1", at(100), login="u2"), click("u2", "t", 101))
    case = cases(of("prequential", log, replace(MASKED, split_ms=at(101))))[0]
    assert case.history == tuple(f"i{n}" for n in range(36, 100))
    assert len(case.masked) == 100


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_a_log_with_nothing_to_predict_is_misuse(tmp_path: Path, name: str) -> None:
    log = log_of(tmp_path, wire("search", "u1", T0, query="q"))
    (tmp_path / "holdout.jsonl").touch()
    with pytest.raises(Misuse, match=r"nothing to (predict|score)|no session to complete"):
        list(PROTOCOLS[name](Chosen()).walk(log))


@pytest.mark.parametrize("name", ["prequential", "next-basket"])
def test_a_split_after_the_log_leaves_nothing_to_predict(log: Log, name: str) -> None:
    with pytest.raises(Misuse, match=r"at or after the split: choose another --split"):
        of(name, log, Chosen(split_ms=T0 + 1_000 * DAY))


REFUSED = [(name, chosen) for name in PROTOCOLS for chosen in (STRICT, MASKED, Chosen(holdout=Path("h")))]
TAKEN = [("holdout-last", STRICT), ("holdout-file", Chosen(holdout=Path("h")))]
TAKEN += [(name, MASKED) for name in PROTOCOLS if name != "rerank"]


@pytest.mark.parametrize(("name", "chosen"), REFUSED)
def test_a_choice_that_would_change_nothing_is_refused(name: str, chosen: Chosen) -> None:
    if (name, chosen) in TAKEN:
        PROTOCOLS[name](chosen)
    else:
        with pytest.raises(Misuse, match=r"^--(strict|mask-history|holdout|split, --strict): "):
            PROTOCOLS[name](chosen)
