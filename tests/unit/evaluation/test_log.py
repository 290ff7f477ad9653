"""A log as an evaluation reads it: what is an event, what is left out, and what is said about it."""

import gzip
import json
from pathlib import Path

import pytest

from streams.contracts.events import Forget
from streams.errors import Misuse
from streams.evaluation.log import Log, signal
from tests.unit.building import T0, at, item, wire
from tests.unit.evaluation.files import bought, click, log_of, write

ABSORB = wire("absorb", "u1", at(3), anonymous_id="a", state="kQA=")
TICK = json.dumps({"type": "tick", "partition": 0, "at_ms": at(9)}).encode()


def test_events_come_in_the_order_of_the_file_as_they_are_there_with_their_lines(tmp_path: Path) -> None:
    lines = [click("u1", "a", 0), b"", b"  " + click("u2", "b", 1)]
    log = log_of(tmp_path, *lines)
    assert [(one.line, one.raw, one.event.user_id, one.at_ms) for one in log] == [
        (1, lines[0], "u1", T0),
        (3, lines[2].strip(), "u2", at(1)),
    ]
    assert list(log) == list(log), "each iteration reads anew"
    assert (log.events, log.rejected, log.repeated, log.late, log.complaints) == (2, 0, 0, 0, [])
    assert log.span_ms() == (T0, at(1))


def test_what_the_worker_writes_itself_is_no_event(tmp_path: Path) -> None:
    log = log_of(tmp_path, TICK, ABSORB, click("u1", "a", 0))
    assert [one.line for one in log] == [3]
    assert (log.rejected, log.complaints, log.latest_ms) == (0, [], T0)


def test_lines_that_are_no_events_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    log = log_of(tmp_path, click("u1", "a", 0), wire("click", "u1", None, item_id="b"), b"{", wire("click", "u1", 5))
    assert len(list(log)) == 1
    assert log.rejected == 3
    assert log.complaints == [f"{log.path}:2: left out, no event: $.at_ms: missing: a file knows no Kafka timestamps"]


def test_times_in_another_unit_are_no_times(tmp_path: Path) -> None:
    log = log_of(tmp_path, click("u1", "a", 0), wire("click", "u1", T0 // 1000, item_id="b"))
    assert len(list(log)) == 1
    assert "$.at_ms" in log.complaints[0]


def test_a_repeat_is_left_out_for_its_user_alone(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        click("u1", "a", 0, event_id="e"),
        click("u1", "a", 0, event_id="e"),
        click("u2", "a", 0, event_id="e"),
        click("u1", "a", 0),
        click("u1", "a", 0),
    )
    assert [one.line for one in log] == [1, 3, 4, 5]
    assert log.repeated == 1
    assert log.complaints == [f"{log.path}:2: left out, $.event_id e was there before"]


@pytest.mark.parametrize("ending", [wire("forget", "u1", at(1)), wire("alias", "u1", at(1), login="u2")])
def test_a_state_that_is_gone_recognises_no_repeat(tmp_path: Path, ending: bytes) -> None:
    again = click("u1", "a", 0, event_id="e")
    assert [one.line for one in log_of(tmp_path, again, ending, again, again)] == [1, 2, 3]


def test_an_alias_to_oneself_ends_nothing(tmp_path: Path) -> None:
    again = click("u1", "a", 0, event_id="e")
    assert [one.line for one in log_of(tmp_path, again, wire("alias", "u1", at(1), login="u1"), again)] == [1, 2]


def test_events_out_of_order_are_kept_and_told_of(tmp_path: Path) -> None:
    log = log_of(tmp_path, *(click("u1", "a", minute) for minute in (2, 1, 3, 0)))
    assert [one.at_ms for one in log] == [at(2), at(1), at(3), at(0)]
    assert log.late == 2
    assert log.complaints == [f"{log.path}:2: $.at_ms is earlier than before: is the log sorted by time?"]
    assert log.span_ms() == (at(0), at(3))


@pytest.mark.parametrize("content", [b"", b"\n\n", TICK])
def test_a_log_without_events_is_misuse(tmp_path: Path, content: bytes) -> None:
    log = log_of(tmp_path, content)
    with pytest.raises(Misuse, match=r"events.jsonl: holds no event: is it an event log of `streamrank import`\?$"):
        list(log)


def test_a_catalogue_is_no_log_of_events(tmp_path: Path) -> None:
    folder = write(tmp_path, [], [item("a"), item("b")])
    with pytest.raises(Misuse, match=r"items.jsonl: holds no event \(.*items.jsonl:1: left out, no event: .*\): is"):
        list(Log(folder / "items.jsonl"))


def test_a_cut_archive_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl.gz"
    packed = gzip.compress(b"".join(click(f"u{n}", f"item-{n * 7919}", n) + b"\n" for n in range(2_000)))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Misuse, match=r"events.jsonl.gz:\d+: the gzip data is cut or damaged"):
        list(Log(path))


def test_a_folder_needs_both_files_and_a_lone_file_has_no_catalogue(tmp_path: Path) -> None:
    folder = write(tmp_path, [click("u1", "a", 0)], [item("a"), item("b")])
    assert [one.item_id for one in Log(folder).items()] == ["a", "b"]
    assert list(Log(folder / "events.jsonl").items()) == []
    (folder / "items.jsonl").unlink()
    with pytest.raises(Misuse, match=r"no items.jsonl in this folder"):
        Log(folder)
    (folder / "events.jsonl").unlink()
    with pytest.raises(Misuse, match=r"no events.jsonl in this folder"):
        Log(folder)
    with pytest.raises(Misuse, match=r"nowhere: no such file or folder"):
        Log(tmp_path / "nowhere")


def test_events_are_no_catalogue(tmp_path: Path) -> None:
    folder = write(tmp_path, [click("u1", "a", 0)], [item("a")])
    with (folder / "items.jsonl").open("ab") as items:
        items.write(click("u1", "", 0) + b"\n")
    with pytest.raises(Misuse, match=r"items.jsonl:2: no item: \$.item_id: "):
        list(Log(folder).items())


def test_signals_are_what_a_user_went_for(tmp_path: Path) -> None:
    log = log_of(
        tmp_path,
        *(wire(kind, "u1", at(1), item_id="a") for kind in ("view", "click", "cart", "uncart")),
        wire("rating", "u1", at(1), item_id="a", value=1),
        wire("review", "u1", at(1), item_id="a", text="so so"),
        wire("search", "u1", at(1), query="a"),
        wire("impression", "u1", at(1), request_id="r", items=["a"]),
        wire("request", "u1", at(1), request_id="r"),
        wire("forget", "u1", at(1)),
    )
    kinds = [one.kind for entry in log if (one := signal(entry)) is not None]
    assert kinds == ["view", "click", "cart", "rating", "review"]
    assert any(isinstance(entry.event, Forget) for entry in log)


def test_the_lines_of_an_order_are_a_basket_and_without_one_the_moment_is(tmp_path: Path) -> None:
    log = log_of(tmp_path, bought("u1", "a", 0, "o7"), bought("u1", "b", 1, "o7"), bought("u1", "c", 2))
    baskets = [one.basket for entry in log if (one := signal(entry)) is not None]
    assert baskets == ["o7", "o7", str(at(2))]
