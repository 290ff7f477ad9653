import time

import pytest

from streams.contracts.partition import partition_of
from streams.decode import Decoder, Record
from streams.demo import faults
from streams.demo.journey import CUT_MS
from streams.errors import BadEvent

PARTITIONS = 8
NOW_MS = int(time.time() * 1000)
ONE_OF_EACH = faults.make(range(len(faults.KINDS)), "u42", CUT_MS, NOW_MS, PARTITIONS)


@pytest.mark.parametrize("fault", ONE_OF_EACH, ids=lambda fault: fault.kind)
def test_every_fault_is_refused(fault: faults.Fault) -> None:
    partition = fault.partition
    if partition == faults.ANY_PARTITION:
        partition = partition_of(fault.key or b"", PARTITIONS)
    with pytest.raises(BadEvent):
        Decoder(PARTITIONS, 86_400_000).decode(Record(partition, 0, fault.key, fault.value, NOW_MS), trusted_key=None)


def test_kinds_differ() -> None:
    assert len({fault.kind for fault in ONE_OF_EACH}) == len(faults.KINDS) >= 6


@pytest.mark.parametrize(("count", "over"), [(33, 1_000), (33, 7), (1, 1)])
def test_all_are_spread_over_all_places(count: int, over: int) -> None:
    places = faults.spread(count, over)
    assert sorted(thing for things in places.values() for thing in things) == list(range(count))
    assert all(0 <= place < over for place in places)
