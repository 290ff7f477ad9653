"""One partition's share of a batch: no record stops the others, whatever goes wrong with it."""

from typing import Any

from streams.decode import Decoded, Decoder, Record
from streams.fold_batch import Owned, PartitionBatch
from streams.push import Pushes
from streams.store.base import Position
from streams.users import UserCache
from tests.unit.building import DAY, records, wire


class Stumbling(Decoder):
    """A decoder with a bug that only the first record shows."""

    def decode(self, record: Record, *, trusted_key: bytes | None) -> Decoded:
        if record.offset == 0:
            raise ZeroDivisionError("a bug")
        return super().decode(record, trusted_key=trusted_key)


def test_a_record_that_breaks_the_decoder_is_a_dead_letter_and_the_next_is_decoded() -> None:
    owned = Owned(Position(), UserCache(10), Pushes(frozenset(), 0))
    log: Any = records([wire("view", "u1", item_id="a"), wire("view", "u2", item_id="a")])
    batch = PartitionBatch(owned, log, ("events", "id"))
    assert batch.decode(Stumbling(1, DAY)) == ["u2"]
    commit = batch.commit("token", 0)
    assert commit.stats == {"dead_letters": 1}
    assert b"could not be decoded: ZeroDivisionError: a bug" in commit.outbox[0].value
