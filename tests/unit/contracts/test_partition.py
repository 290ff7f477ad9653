import random

from aiokafka.partitioner import murmur2 as reference

from streams.contracts.partition import murmur2, partition_of


def test_murmur2_is_that_of_aiokafka() -> None:
    drawn = random.Random(1)
    keys = [drawn.randbytes(n) for n in range(60) for _ in range(5)] + [f"u{n}".encode() for n in range(500)]
    for key in keys:
        assert murmur2(key) == reference(bytearray(key)) & 0xFFFFFFFF, key


def test_known_partitions() -> None:
    """Values of the Java client's `Utils.murmur2` tests, as aiokafka and kafka-python carry them."""
    known = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    for key, signed in known.items():
        assert murmur2(key) == signed & 0xFFFFFFFF
        assert partition_of(key, 8) == (signed & 0x7FFFFFFF) % 8


def test_keys_spread_over_all_partitions() -> None:
    assert {partition_of(f"u{n}".encode(), 32) for n in range(1_000)} == set(range(32))
