"""A line's place depends on the lines before it alone; what can't be placed is named by its field."""

from pathlib import Path

import msgspec
import pytest

from streams.backfill.lines import Router
from streams.contracts.partition import partition_of
from streams.decode import Record
from streams.errors import BadEvent, Misuse
from streams.simulate import records
from tests.logs import START_MS, shop_log

PARTITIONS = 5
HOME = partition_of(b"anna", PARTITIONS)


def router() -> Router:
    return Router(Path("log.jsonl"), PARTITIONS)


def line(**fields: object) -> bytes:
    return msgspec.json.encode({"type": "view", "user_id": "anna", "item_id": "i", "at_ms": START_MS} | fields)


def placed(offset: int, partition: int = HOME) -> bytes:
    return line(_partition=partition, _offset=offset)


def offsets(lines: list[bytes]) -> list[int | None]:
    one = router()
    routed = [one.route(n, value) for n, value in enumerate(lines, 1)]
    return [None if found is None else found[1].offset for found in routed]


def test_without_offsets_lines_are_numbered_as_the_simulator_numbers_them() -> None:
    lines = [value for _, value in shop_log(500)]
    one = router()
    routed = [one.route(n, value) for n, value in enumerate(lines, 1)]
    assert [found and found[1] for found in routed] == list(records(lines, PARTITIONS))
    assert one.numbered is False


def test_offsets_are_kept_gaps_are_fine_and_repeats_are_left_out() -> None:
    assert offsets([placed(3), placed(3), placed(7), placed(7), placed(8)]) == [3, None, 7, None, 8]


def test_each_partition_has_offsets_of_its_own() -> None:
    other = next(f"u{n}" for n in range(99) if partition_of(b"u%d" % n, PARTITIONS) != HOME)
    there = partition_of(other.encode(), PARTITIONS)
    assert offsets([placed(9), line(user_id=other, _partition=there, _offset=1), placed(10)]) == [9, 1, 10]


def test_falling_offsets_end_it_with_file_line_and_field() -> None:
    with pytest.raises(Misuse, match=rf"^log\.jsonl:2: \$\._offset: 4 comes after 5 in partition {HOME}: sort"):
        offsets([placed(5), placed(4)])


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"no json", "$"),
        (b"[]", "$"),
        (line(user_id=7), "$.user_id"),
        (line(user_id=None), "$"),
        (line(at_ms=None), "$.at_ms"),
        (line(at_ms=1_760_000_000), "$.at_ms"),
        (line(_partition=HOME), "$._partition"),
        (line(_offset=1), "$._partition"),
        (line(_partition=-1, _offset=1), "$._partition"),
        (line(_partition=HOME, _offset=-1), "$._offset"),
        (line(_partition=HOME, _offset=2**63), "$._offset"),
        (line(_partition=HOME, _offset="1"), "$._offset"),
        (placed(1, partition=HOME + 1), "$._partition"),
        (b'{"type":"tick","partition":%d,"at_ms":%d}' % (PARTITIONS, START_MS), "$.partition"),
        (b'{"type":"tick","partition":"0","at_ms":%d}' % START_MS, "$.partition"),
    ],
)
def test_a_line_without_a_place_is_named_by_its_field(raw: bytes, path: str) -> None:
    with pytest.raises(BadEvent) as caught:
        router().route(1, raw)
    assert caught.value.path == path


@pytest.mark.parametrize(("first", "second"), [(line(), placed(1)), (placed(1), line())])
def test_the_first_line_says_whether_lines_have_offsets(first: bytes, second: bytes) -> None:
    one = router()
    one.route(1, first)
    with pytest.raises(BadEvent, match=r"the first line of this log has (an|no) offset"):
        one.route(2, second)


def test_a_tick_lies_where_it_says() -> None:
    found = router().route(1, b'{"type":"tick","partition":2,"at_ms":%d}' % START_MS)
    assert found is not None
    assert found[1][:3] == Record(2, 0, None, b"", 0)[:3]
