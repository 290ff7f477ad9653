import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from streams.contracts.events import decode_event
from streams.contracts.wire import MAX_MESSAGE_BYTES
from streams.errors import BadEvent, Misuse
from streams.event_log import EventLog, find_file, read_lines


def _many(n: int) -> bytes:
    return b"".join(b'{"n":%d,"text":"%x"}\n' % (i, i * 2_654_435_761 & 0xFFFFFFFF) for i in range(n))


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "named as it likes"])
def test_plain_and_gzip_give_the_same_numbered_lines(tmp_path: Path, name: str) -> None:
    content = b'{"a":1}\n\n  \r\n{"b":2}\r\n{"c":3}'
    plain, packed = tmp_path / name, tmp_path / "packed"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    assert list(read_lines(plain)) == [(1, b'{"a":1}'), (4, b'{"b":2}'), (5, b'{"c":3}')]
    assert list(read_lines(packed)) == list(read_lines(plain))


def test_members_of_a_concatenated_gzip_are_all_read(tmp_path: Path) -> None:
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(b"{}\n") + gzip.compress(b"[]\n"))
    assert [line for _, line in read_lines(log)] == [b"{}", b"[]"]


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert list(read_lines(tmp_path / "log")) == []


def test_a_cut_gzip_gives_what_is_there_and_then_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "cut.gz"
    packed = gzip.compress(_many(20_000))
    log.write_bytes(packed[: len(packed) // 2])
    numbers = []
    with pytest.raises(Misuse, match=r"cut\.gz:(\d+): the gzip data is cut or damaged") as caught:
        numbers.extend(number for number, _ in read_lines(log))
    assert caught.value.exit_code == 2
    assert numbers == list(range(1, len(numbers) + 1))
    assert f"cut.gz:{len(numbers) + 1}:" in str(caught.value)
    assert 0 < len(numbers) < 20_000


def test_damaged_gzip_is_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "bad.gz"
    packed = bytearray(gzip.compress(_many(20_000)))
    packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)
    log.write_bytes(packed)
    with pytest.raises(Misuse, match="cut or damaged"):
        list(read_lines(log))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"absent\.jsonl: cannot read the log: No such file"):
        list(read_lines(tmp_path / "absent.jsonl"))
    with pytest.raises(Misuse, match="cannot read the log: Is a directory"):
        list(read_lines(tmp_path))
    (tmp_path / "log.zst").write_bytes(b"\x28\xb5\x2f\xfd....")
    with pytest.raises(Misuse, match=r"log\.zst:1: the zstd data is cut or damaged"):
        list(read_lines(tmp_path / "log.zst"))


def test_an_endless_line_is_cut_and_refused_and_the_next_one_is_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (3 * MAX_MESSAGE_BYTES) + b'\n{"type":"forget","user_id":"u"}\n')
    (first, long), (second, event) = read_lines(log)
    assert (first, second) == (1, 2)
    assert len(long) == MAX_MESSAGE_BYTES + 1
    with pytest.raises(BadEvent, match="over the limit"):
        decode_event(long)
    assert decode_event(event).user_id == "u"


@pytest.mark.parametrize("length", [MAX_MESSAGE_BYTES - 1, MAX_MESSAGE_BYTES, MAX_MESSAGE_BYTES + 1])
def test_a_line_at_the_limit_does_not_swallow_the_next(tmp_path: Path, length: int) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * length + b"\n{}\n")
    assert [(number, len(line)) for number, line in read_lines(log)] == [(1, length), (2, 2)]


def test_only_as_much_is_read_as_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(_many(20_000))
    log = EventLog(path)
    assert log.done == 0
    lines = iter(log)
    next(lines)
    assert 0 < log.done < 0.05
    shares = [log.done for _ in lines]
    assert shares == sorted(shares)
    assert log.done == 1


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"no events\.jsonl in this folder"):
        find_file(tmp_path, "events.jsonl")
    (tmp_path / "events.jsonl.gz").touch()
    assert find_file(tmp_path, "events.jsonl") == tmp_path / "events.jsonl.gz"
    assert find_file(tmp_path / "other", "events.jsonl") == tmp_path / "other"
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(Misuse, match="both"):
        find_file(tmp_path, "events.jsonl")


def test_zstd_is_read_over_several_frames_and_a_cut_one_is_a_sentence(tmp_path: Path) -> None:
    log, whole = tmp_path / "log.zst", _many(20_000)
    packed = zstandard.ZstdCompressor().compress(whole)
    log.write_bytes(packed + zstandard.ZstdCompressor().compress(b'{"last":1}'))
    lines = list(read_lines(log))
    assert b"\n".join(line for _, line in lines[:-1]) == whole.strip()
    assert lines[-1] == (20_001, b'{"last":1}')
    log.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(Misuse, match=r"log\.zst:\d+: the zstd data is cut or damaged"):
        list(read_lines(log))


def test_rows_of_parquet_are_lines_without_their_nulls(tmp_path: Path) -> None:
    log = tmp_path / "log"
    rows = [{"type": "view", "at_ms": 1, "context": {"page": "home"}}, {"type": "search", "query": "tea"}]
    pq.write_table(pa.Table.from_pylist([row | {"at_ms": row.get("at_ms")} for row in rows]), log)
    lines = [(number, json.loads(line)) for number, line in read_lines(log)]
    assert [number for number, _ in lines] == [1, 2]
    assert lines[0][1]["context"] == {"page": "home"}
    assert "at_ms" not in lines[1][1]


def test_a_cut_parquet_file_is_a_sentence(tmp_path: Path) -> None:
    log = tmp_path / "cut.parquet"
    pq.write_table(pa.table({"a": list(range(10_000))}), log)
    log.write_bytes(log.read_bytes()[:-100])
    with pytest.raises(Misuse, match=r"cut\.parquet:1: the Parquet data is cut or damaged"):
        list(read_lines(log))
