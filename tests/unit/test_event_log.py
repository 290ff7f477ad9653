import gzip
from pathlib import Path

import pytest

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
    with pytest.raises(Misuse, match=r"log\.zst: a zstd file: unpack it"):
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
