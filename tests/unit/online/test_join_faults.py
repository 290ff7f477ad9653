"""What goes wrong with one slate costs no other its record, and neither does a new owner."""

import asyncio
from typing import Any

import pytest

from streams import fold_batch
from tests.unit.building import at, wire
from tests.unit.online.joining import K, Shop, ask, scenario


@scenario
async def test_a_ledger_that_is_gone_is_counted() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0))
    shop.store._partitions[0].ledgers.clear()  # noqa: SLF001 (what Redis' EXPIRE would do)
    await shop.pipeline.assign([0])
    await shop.tick(60)
    assert not shop.feedback
    assert await shop.stats() == {"lost": 1}
    assert await shop.store.waiting([0]) == {0: {}}


def test_what_breaks_the_join_of_one_record_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fold_batch.ledger_of

    def stumbling(slate: Any, *rest: Any) -> Any:
        if slate.request_id == "b":
            raise ZeroDivisionError("a bug")
        return whole(slate, *rest)

    async def run() -> None:
        shop = await Shop.open()
        await shop.send(ask("a", 0), ask("b", 1), ask("c", 2))
        await shop.tick(60)
        assert [slate["request_id"] for slate in shop.slates] == ["a", "b", "c"]
        assert [one.request_id for one in shop.feedback] == ["a", "c"]
        assert await shop.stats() == {"written": 2, "failed": 1}

    monkeypatch.setattr(fold_batch, "ledger_of", stumbling)
    asyncio.run(run())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_new_owner_goes_on_where_the_last_one_was(batch: int) -> None:
    async def run(drop: bool) -> list[Any]:
        shop = await Shop.open()
        for n in range(12):
            await shop.send(ask(f"r{n}", 4 * n, f"u{n % 3}"), batch=batch)
            if drop:
                await shop.pipeline.assign([0])
            await shop.send(
                wire("click", f"u{n % 3}", at(4 * n + 1), item_id=shop.shown(f"r{n}")[n % K]),
                wire("impression", f"u{n % 3}", at(4 * n + 2), request_id=f"r{n}", items=shop.shown(f"r{n}")[:2]),
            )
        await shop.tick(200)
        return shop.feedback

    whole = asyncio.run(run(False))
    assert len(whole) == 12
    assert asyncio.run(run(True)) == whole
