"""Which partition a key lies in: Kafka's murmur2, as the Java client, aiokafka and `murmur2_random` compute it.

librdkafka's default partitioner is another one and agrees on one key in eight, hence the check in the worker.
Reference: org.apache.kafka.common.utils.Utils#murmur2.
"""

from functools import lru_cache

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C


def murmur2(key: bytes) -> int:
    """Hash `key` to 32 bits, unsigned."""
    length = len(key)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if length > whole:
        h = (h ^ int.from_bytes(key[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` among `partitions`."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
