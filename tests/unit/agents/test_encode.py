"""Codes of items: what waits is encoded once and stored, nothing is lost while a server is away."""

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from inference.encoder import Encoded
from inference.tensors import CODE_LEVELS, MAX_BATCH_SIZE
from streams.agents.encode import TextReader
from streams.contracts.items import Item
from streams.errors import EncoderUnavailable, Unreachable
from streams.features.item import Catalogue, digest_of
from streams.features.meaning import Meanings
from streams.retrieval.counters import Counters
from streams.settings import Settings
from streams.snapshot import Snapshot
from streams.store.base import ItemChange, Meaning
from streams.store.memory import MemoryStore
from tests.unit.building import settings


class Lengths:
    """Encodes a text as its length; notes what it was asked."""

    identity = b"lengths."
    is_away = False

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def encode(self, texts: Sequence[str], timeout_s: float) -> Encoded:
        if self.is_away:
            raise EncoderUnavailable("encoder/1 is away")
        self.asked += texts
        codes = np.array([[len(text)] * CODE_LEVELS for text in texts], np.int32)
        return Encoded(codes.astype(np.float32), codes)


class FragileStore(MemoryStore):
    """A store that is away when it is told to be."""

    is_away = False

    async def put_meanings(self, meanings: dict[str, Meaning]) -> None:  # type: ignore[override]
        if self.is_away:
            raise Unreachable("Redis is away")
        await super().put_meanings(meanings)


class Worker:
    """One worker of a shop: a snapshot of a store, and a reader of texts."""

    def __init__(self, store: MemoryStore, encoder: Lengths, owned: Sequence[int] = (0, 1), **fields: int) -> None:
        self.store, self.encoder = store, encoder
        self.meanings = Meanings(encoder.identity)
        self.catalogue = Catalogue()
        self.snapshot = Snapshot(store, self.catalogue, Counters(self.catalogue), 2, self.meanings)
        chosen: Settings = settings(partitions=2, **fields)
        self.reader = TextReader(encoder, self.meanings, store, chosen, lambda: owned)

    async def work(self) -> None:
        """Follow the store, and encode until nothing waits that is this worker's."""
        await self.snapshot.refresh()
        while await self.reader.step():
            pass
        await self.snapshot.refresh()

    def code(self, item_id: str) -> int:
        return int(self.catalogue.semantic[self.catalogue.index[item_id], 0])


async def publish(store: MemoryStore, offset: int, **titles: str | None) -> None:
    changes = [
        ItemChange(name, None if title is None else msgspec.json.encode(Item(item_id=name, title=title)))
        for name, title in titles.items()
    ]
    await store.upsert_items(0, offset, changes)


def test_every_text_is_encoded_once_and_every_worker_has_its_code() -> None:
    async def run() -> None:
        store, encoder = MemoryStore(), Lengths()
        one, other = Worker(store, encoder, [0]), Worker(store, encoder, [1])
        for worker in (one, other):
            await worker.snapshot.load()
        titles = {f"i{n}": "x" * (1 + n % 50) for n in range(4 * MAX_BATCH_SIZE)}
        await publish(store, 0, **titles)
        for worker in (one, other, one, other):
            await worker.work()
        assert sorted(encoder.asked) == sorted(set(titles.values()))
        for worker in (one, other):
            assert not worker.meanings.waiting
            assert {name: worker.code(name) for name in titles} == {name: len(text) for name, text in titles.items()}

    asyncio.run(run())


def test_a_worker_that_starts_later_reads_what_is_stored() -> None:
    async def run() -> None:
        store, encoder = MemoryStore(), Lengths()
        first = Worker(store, encoder)
        await first.snapshot.load()
        await publish(store, 0, a="milk", b="bread!")
        await first.work()
        second = Worker(store, encoder)
        await second.snapshot.load()
        assert (second.code("a"), second.code("b")) == (4, 6)
        assert not second.meanings.waiting
        encoder.identity = b"others.."
        third = Worker(store, encoder)
        await third.snapshot.load()
        assert third.code("a") == 0
        await third.work()
        assert third.code("a") == 4
        assert encoder.asked == ["milk", "bread!"] * 2

    asyncio.run(run())


@pytest.mark.parametrize("away", ["encoder", "store"])
def test_while_a_server_is_away_texts_wait_and_upserts_go_on(away: str) -> None:
    async def run() -> None:
        store, encoder = FragileStore(), Lengths()
        worker = Worker(store, encoder)
        await worker.snapshot.load()
        broken = {"encoder": encoder, "store": store}[away]
        broken.is_away = True
        await publish(store, 0, a="milk")
        await worker.snapshot.refresh()
        with pytest.raises((EncoderUnavailable, Unreachable)):
            await worker.reader.step()
        await publish(store, 1, b="bread!")
        await worker.snapshot.refresh()
        assert {"a", "b"} <= set(worker.catalogue.ids)
        assert worker.code("a") == worker.code("b") == 0
        broken.is_away = False
        await worker.work()
        assert (worker.code("a"), worker.code("b")) == (4, 6)

    asyncio.run(run())


def test_it_goes_on_by_itself_when_the_encoder_is_back() -> None:
    async def run() -> None:
        store, encoder = MemoryStore(), Lengths()
        worker = Worker(store, encoder, snapshot_every_ms=1)
        await worker.snapshot.load()
        encoder.is_away = True
        await publish(store, 0, a="milk")
        await worker.snapshot.refresh()
        job = asyncio.create_task(worker.reader.run())
        await asyncio.sleep(0)
        encoder.is_away = False
        async with asyncio.timeout(10):
            while worker.meanings.waiting:
                await asyncio.sleep(0)
        job.cancel()
        await worker.snapshot.refresh()
        assert worker.code("a") == 4

    asyncio.run(run())


def test_what_changed_or_went_while_it_was_encoded_gets_no_code_of_the_old_text() -> None:
    async def run() -> None:
        store, encoder = MemoryStore(), Lengths()
        worker = Worker(store, encoder)
        await worker.snapshot.load()
        await publish(store, 0, a="milk", b="bread!")
        await worker.snapshot.refresh()
        encode = encoder.encode

        async def meanwhile(texts: Sequence[str], timeout_s: float) -> Encoded:
            encoder.encode = encode  # type: ignore[method-assign]
            await publish(store, 1, a="oat milk", b=None)
            return await encode(texts, timeout_s)

        encoder.encode = meanwhile  # type: ignore[method-assign]
        await worker.work()
        await worker.work()
        assert worker.code("a") == len("oat milk")
        assert await store.vectors(["b"]) == [None]

    asyncio.run(run())


def test_partitions_share_the_texts() -> None:
    owners = [digest_of(f"text {n}") % 2 for n in range(1_000)]
    assert 400 < sum(owners) < 600
