"""What is held out, of each user or in a file, on logs small enough to know by heart."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from tests.unit.building import T0, at, wire
from tests.unit.evaluation.files import cases, click, learned, log_of, walked

FREE, MASKED, STRICT = Chosen(), Chosen(masked=True), Chosen(strict=True)


def of(name: str, log: Log, chosen: Chosen = FREE) -> list[str | Case]:
    return walked(PROTOCOLS[name](chosen), log)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Two users, turn by turn: u1 a b a c, u2 x, u3 a b."""
    lines = [("u1", "a"), ("u2", "x"), ("u1", "b"), ("u3", "a"), ("u1", "a"), ("u1", "c"), ("u3", "b")]
    return log_of(tmp_path, *(click(user, item, minute) for minute, (user, item) in enumerate(lines)))


def test_holdout_last_learns_all_but_the_last_items_first(log: Log) -> None:
    assert of("holdout-last", log) == [
        *("u1:a", "u2:x", "u1:b", "u3:a", "u1:a"),
        Case("u1", at(5), ("a", "b", "a"), ("c",)),
        Case("u3", at(6), ("a",), ("b",)),
    ]


def test_strict_teaches_one_event_less_a_case(log: Log) -> None:
    steps = of("holdout-last", log, replace(STRICT, masked=True))
    assert steps == [
        *("u1:a", "u2:x", "u1:b"),
        Case("u1", at(5), ("a", "b", "a"), ("c",), frozenset("ab"), unlearned=1),
        Case("u3", at(6), ("a",), ("b",), frozenset("a"), unlearned=1),
    ]
    assert [one.fresh for one in cases(steps)] == [False, True]


@pytest.mark.parametrize("strict", [False, True])
def test_what_a_user_did_after_the_held_out_item_is_not_learned(tmp_path: Path, strict: bool) -> None:
    log = log_of(
        tmp_path,
        *(click("u1", "a", 0), click("u1", "b", 1), wire("search", "u1", at(2), query="b"), click("u1", "c", 3)),
        *(
            wire("uncart", "u1", at(4), item_id="c"),
            wire("search", "u1", at(4), query="c"),
            wire("forget", "u1", at(5)),
        ),
        wire("search", "u2", at(7), query="q"),
    )
    steps = of("holdout-last", log, Chosen(strict=strict))
    assert learned(steps) == ["u1:a", *(() if strict else ("u1:b",)), "u1:search", "u2:search"]
    assert cases(steps) == [Case("u1", at(3), ("a", "b"), ("c",), unlearned=int(strict))]


def test_an_unlearned_item_that_was_forgotten_is_unknown(tmp_path: Path) -> None:
    forgotten = log_of(
        tmp_path, click("u1", "a", 0), click("u1", "b", 1), wire("forget", "u1", at(2)), click("u1", "c", 3)
    )
    assert cases(of("holdout-last", forgotten, STRICT)) == [Case("u1", at(3), (), ("c",))]


def test_holdout_last_is_by_user_not_by_time() -> None:
    with pytest.raises(Misuse, match="--split: holdout-last splits by user"):
        PROTOCOLS["holdout-last"](Chosen(split_ms=T0))


def holdout(folder: Path, *lines: dict[str, object]) -> Path:
    path = folder / "holdout.jsonl"
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return path


def test_holdout_file_learns_all_then_completes_sessions_of_strangers(log: Log, tmp_path: Path) -> None:
    known = {"user_id": "u1", "items": ["a", "q"], "targets": ["c", "d", "c"]}
    path = holdout(tmp_path, known, {"user_id": "h", "items": ["x"], "targets": ["b"]})
    steps = of("holdout-file", log)
    assert len(learned(steps)) == 7
    assert cases(steps) == [
        Case("u1", at(6) + 1, ("a", "q"), ("c", "d"), unlearned=2),
        Case("h", at(6) + 1, ("x",), ("b",), unlearned=1),
    ]
    assert all(one.fresh for one in cases(steps))
    elsewhere = path.rename(tmp_path / "sessions.txt")
    assert of("holdout-file", log, Chosen(holdout=elsewhere)) == steps
    assert [one.masked for one in cases(of("holdout-file", log, Chosen(holdout=elsewhere, masked=True)))] == [
        frozenset("aq"),
        frozenset("x"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"user_id": "h", "items": ["a"]}', r"holdout.jsonl:1: no session to complete: \$: .*targets"),
        ('{"user_id": "h", "items": [], "targets": ["a"]}', r"holdout.jsonl:1: no session to complete: \$.items: "),
        ('{"user_id": "h", "items": ["a"], "targets": []}', r"holdout.jsonl:1: .* \$.targets: "),
        ("a b\tc", r"holdout.jsonl:1: no session to complete: \$: not JSON"),
        ("", r"holdout.jsonl: no session to complete: a line is \{"),
    ],
)
def test_a_wrong_holdout_is_told_of_before_anything_is_learned(log: Log, tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "holdout.jsonl").write_text(line + "\n")
    with pytest.raises(Misuse, match=said):
        next(PROTOCOLS["holdout-file"](Chosen()).walk(log))


def test_a_missing_holdout_is_named(log: Log, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"no holdout.jsonl in this folder"):
        next(PROTOCOLS["holdout-file"](Chosen()).walk(log))
    with pytest.raises(Misuse, match=r"none.jsonl: cannot read the log: No such file"):
        next(PROTOCOLS["holdout-file"](Chosen(holdout=tmp_path / "none.jsonl")).walk(log))


def test_a_fit_of_holdout_file_completes_the_sessions_that_began_last(tmp_path: Path) -> None:
    starts = [click(f"s{n}", "a", n) for n in range(20)]
    ends = [click(f"s{n}", f"end-{n}", 100 - n) for n in range(20)]
    log = log_of(tmp_path, *starts, wire("search", "s19", at(50), query="q"), *ends, click("single", "z", 200))
    steps = walked(PROTOCOLS["holdout-file"](MASKED).before(log), log)
    assert {line.partition(":")[0] for line in learned(steps)} == {*(f"s{n}" for n in range(18)), "single"}
    assert cases(steps) == [
        Case(f"s{n}", at(200) + 1, ("a",), (f"end-{n}",), frozenset("a"), unlearned=1) for n in (18, 19)
    ]


def test_a_fit_needs_sessions_and_has_no_fit_of_its_own(log: Log) -> None:
    before = PROTOCOLS["holdout-file"](FREE).before(log)
    with pytest.raises(Misuse, match="--fit needs at least ten sessions of two items"):
        list(before.walk(log))
    with pytest.raises(Misuse, match="--fit: there is nothing before"):
        before.before(log)


def test_a_fit_of_holdout_last_predicts_the_last_item_but_one(log: Log) -> None:
    steps = walked(PROTOCOLS["holdout-last"](STRICT).before(log), log)
    assert steps == ["u1:a", "u1:b", "u3:a", Case("u1", at(4), ("a", "b"), ("a",))]
