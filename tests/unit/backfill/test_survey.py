"""One reading tells the kind of a log, whose histories are to be moved, and whether it is a log at all."""

from pathlib import Path

import msgspec
import pytest

from streams.backfill.survey import Survey, survey
from streams.errors import Misuse
from streams.event_log import EventLog
from tests.backfilled import write_log
from tests.logs import START_MS


def event(kind: str, user: str, **more: object) -> bytes:
    return msgspec.json.encode({"type": kind, "user_id": user, "item_id": "i", "at_ms": START_MS} | more)


def surveyed(folder: Path, lines: list[bytes], partitions: int = 1) -> tuple[Survey, list[int]]:
    rejects: list[int] = []
    log = EventLog(write_log(folder / "log.jsonl", lines))
    return survey(log, partitions, lambda line, why: rejects.append(line), lambda: None), rejects


def test_it_counts_and_names_what_cannot_be_placed(tmp_path: Path) -> None:
    found, rejects = surveyed(tmp_path, [b"x", event("view", "u"), event("view", "u", at_ms=None), event("view", "v")])
    assert (found.records, found.rejected, found.repeats, found.numbered) == (2, 2, 0, False)
    assert rejects == [1, 3]


def test_repeats_of_an_offset_are_counted(tmp_path: Path) -> None:
    lines = [event("view", "u", _partition=0, _offset=n) for n in (4, 4, 4, 6)]
    found, _ = surveyed(tmp_path, lines)
    assert (found.records, found.repeats, found.numbered) == (2, 2, True)


ALIASES = [event("alias", "a", login="b"), event("alias", "a", login="b"), event("alias", "c", login="c")]


def test_aliases_to_another_user_are_gathered_once(tmp_path: Path) -> None:
    found, _ = surveyed(tmp_path, [*ALIASES, event("alias", "d", login=7)])
    assert found.aliases == (("a", "b"),)


def test_a_log_that_holds_absorbs_has_none_to_make(tmp_path: Path) -> None:
    found, _ = surveyed(tmp_path, [*ALIASES, event("absorb", "b", anonymous_id="a", state="")])
    assert found.aliases == ()


def test_a_log_with_offsets_has_none_to_make_and_says_so_if_it_holds_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = {"_partition": 0, "_offset": 3}
    found, _ = surveyed(tmp_path, [event("alias", "a", login="b", **place)])
    assert found.aliases == ()
    assert [record.message for record in caplog.records] == [
        "aliases without absorbs: the histories that they move must lie in the topic, behind the log"
    ]


def test_another_log_has_another_identity_and_the_same_has_the_same(tmp_path: Path) -> None:
    first, _ = surveyed(tmp_path, [event("view", "u")])
    again, _ = surveyed(tmp_path, [event("view", "u")])
    other, _ = surveyed(tmp_path, [event("view", "v")])
    assert first.identity == again.identity != other.identity
    assert first.identity.startswith("log.jsonl, ")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "the log has no lines"),
        ([b"item_id,title", b"1,x"], "none of its 2 lines is an event: is it that kind of log?"),
        ([event("no such type", "u")], "none of its 1 lines is an event: is it that kind of log?"),
        ([event("view", "u", _partition=3, _offset=1)], "1 of its lines lie in another partition"),
    ],
)
def test_what_is_no_log_of_events_is_refused(tmp_path: Path, lines: list[bytes], said: str) -> None:
    with pytest.raises(Misuse, match=r"log\.jsonl: ") as caught:
        surveyed(tmp_path, lines)
    assert said in str(caught.value)
