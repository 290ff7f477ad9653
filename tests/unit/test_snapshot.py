"""The reader's copy of catalogue and counters follows the store, also when it has fallen behind."""

import asyncio
from typing import Any

import msgspec
import pytest

from streams.errors import Unreachable
from streams.features.item import Catalogue
from streams.retrieval.counters import Counters
from streams.retrieval.pairs import AFTER
from streams.snapshot import Snapshot
from streams.store import memory
from streams.store.base import Commit, ItemChange, Position
from streams.store.memory import MemoryStore
from tests.unit.building import item
from tests.unit.shop import MONTH, TODAY


class Shelf:
    """A store and its reader."""

    def __init__(self, **kept: int) -> None:
        self.store = MemoryStore(**kept)
        self.catalogue = Catalogue()
        self.counters = Counters(self.catalogue)
        self.snapshot = Snapshot(self.store, self.catalogue, self.counters, 2)
        self._offsets = {0: -1, 1: -1}
        self._items = 0

    async def publish(self, *item_ids: str) -> None:
        """Upsert items; delete those with a leading minus."""
        changes = [
            ItemChange(name[1:], None) if name[0] == "-" else ItemChange(name, msgspec.json.encode(item(name)))
            for name in item_ids
        ]
        await self.store.upsert_items(0, self._items, changes)
        self._items += 1

    async def count(self, partition: int = 0, **increments: int) -> None:
        """Commit purchases of items, each followed by `z`."""
        offset = self._offsets[partition]
        self._offsets[partition] += 1
        counts = {f"i:{name}": {f"{TODAY}:p": n} for name, n in increments.items()}
        counts |= {"b:z": {f"{MONTH}:{name}": 1000 * n for name, n in increments.items()}} if increments else {}
        (done,) = await self.store.commit(
            [Commit(partition, Position(offset=offset), Position(offset=offset + 1), f"t{offset}", counts=counts)]
        )
        assert not done.fenced

    def sold(self) -> dict[str, int]:
        counts = self.counters.popularity.counts("popular", len(self.catalogue)).tolist()
        return {name: n // (6 << 16) for name, n in zip(self.catalogue.ids, counts, strict=True) if n}

    def goes_with(self, name: str) -> float:
        return float(self.counters.pairs.neighbours(self.catalogue.index[name])[:, AFTER].sum())

    def servable(self) -> set[str]:
        return {name for name in self.catalogue.ids if self.catalogue.servable[self.catalogue.index[name]]}


def test_it_loads_what_is_there_and_then_follows() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        await shelf.publish("a", "b")
        await shelf.count(0, a=2)
        await shelf.count(1, a=3)
        await shelf.snapshot.load()
        assert (shelf.sold(), shelf.goes_with("a"), shelf.servable()) == ({"a": 5}, 5000.0, {"a", "b", "z"})
        await shelf.publish("-a", "c")
        await shelf.count(1, a=1, c=1)
        await shelf.snapshot.refresh()
        assert (shelf.sold(), shelf.goes_with("a"), shelf.servable()) == ({"a": 6, "c": 1}, 6000.0, {"b", "c", "z"})
        await shelf.snapshot.refresh()
        assert shelf.sold() == {"a": 6, "c": 1}

    asyncio.run(scenario())


def test_one_that_fell_behind_loads_the_counters_anew() -> None:
    async def scenario() -> None:
        shelf = Shelf(changes_kept=2)
        await shelf.count(a=1, gone=1)
        await shelf.snapshot.load()
        for name in "bcd":
            await shelf.count(**{name: 2})
        del shelf.store._partitions[0].rows["i:gone"]  # noqa: SLF001 (pruned, which the reader missed)
        await shelf.snapshot.refresh()
        assert (shelf.sold(), shelf.goes_with("b")) == ({"a": 1, "b": 2, "c": 2, "d": 2}, 2000.0)
        await shelf.count(b=1)
        await shelf.snapshot.refresh()
        assert shelf.sold() == {"a": 1, "b": 3, "c": 2, "d": 2}

    asyncio.run(scenario())


def test_one_that_missed_a_delete_learns_of_it() -> None:
    async def scenario() -> None:
        shelf = Shelf()
        shelf.store._item_changes = memory._Log(1)  # noqa: SLF001 (a feed that drops at once)
        await shelf.publish("a", "b")
        await shelf.count(seen=1)
        await shelf.snapshot.load()
        await shelf.publish("-a")
        for name in "cd":
            await shelf.publish(name)
        await shelf.snapshot.refresh()
        assert shelf.servable() == {"b", "c", "d", "seen", "z"}
        await shelf.publish("a")
        await shelf.snapshot.refresh()
        assert "a" in shelf.servable()

    asyncio.run(scenario())


def test_a_full_load_that_failed_is_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> Any:
        raise Unreachable("Redis went away")
        yield

    async def scenario() -> None:
        shelf = Shelf(changes_kept=2)
        shelf.store._item_changes = memory._Log(1)  # noqa: SLF001 (a feed that drops at once)
        await shelf.snapshot.load()
        for name in "abc":
            await shelf.publish(name)
            await shelf.count(**{name: 2})
        for reading in ("items", "counts"):
            with monkeypatch.context() as patch:
                patch.setattr(shelf.store, reading, away)
                with pytest.raises(Unreachable):
                    await shelf.snapshot.refresh()
        await shelf.snapshot.refresh()
        assert shelf.sold() == {"a": 2, "b": 2, "c": 2}
        assert shelf.servable() >= {"a", "b", "c"}

    asyncio.run(scenario())
