"""A slate that waits keeps what the ranker saw and said, to the bit."""

from typing import Any

import numpy as np

from inference.ranker import Ranked, RankerInputs
from inference.tensors import HEADS
from tests.unit.building import RowRanker, at, wire
from tests.unit.online.joining import ITEMS, K, Shop, ask, scenario


@scenario
async def test_the_record_holds_what_the_ranker_saw_and_said() -> None:
    class Recording(RowRanker):
        def __init__(self) -> None:
            super().__init__()
            self.inputs: list[RankerInputs] = []

        async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
            self.inputs.append(inputs)
            return await super().rank(inputs, timeout_s)

    ranker = Recording()
    shop = await Shop.open()
    shop.pipeline.recommender._ranker = ranker  # noqa: SLF001
    await shop.send(*(wire("click", "u1", at(n), item_id=f"i{n}") for n in range(5)))
    await shop.pipeline.refresh()
    shop.pipeline.catalogue.semantic[: len(ITEMS)] = np.arange(3 * len(ITEMS)).reshape(-1, 3)
    await shop.send(ask("r", 6, kind="for_you", context={"device": "ios"}))
    await shop.tick(60)
    (inputs,) = ranker.inputs
    (one,) = shop.feedback
    served = shop.slate("r")
    rows = [inputs.item_ids[0].tolist().index(i) for i in hashed(shop, one)]
    assert np.array_equal(np.array([s.features for s in one.items], np.float32), inputs.features[0][rows])
    assert np.array_equal(np.array([s.pairs for s in one.items], np.float32), inputs.pairs[0][rows])
    assert np.array_equal([s.item_code for s in one.items], inputs.item_codes[0][rows])
    assert np.array_equal(np.array(one.seeds, np.float32), inputs.seeds[0])
    assert np.array_equal(one.history_ids, inputs.history_ids[0])
    assert np.array_equal(one.history_codes, inputs.history_codes[0])
    assert inputs.features[0][rows].any()
    assert inputs.history_codes[0].any()
    assert [dict(zip(HEADS, s.p or [], strict=True)) for s in one.items] == [i["p"] for i in served["items"]]
    assert [(s.item_id, s.score, s.source, s.propensity) for s in one.items] == [
        (i["item_id"], i["score"], i["source"], i["propensity"]) for i in served["items"]
    ]
    assert [s.position for s in one.items] == list(range(K))
    assert {s.category for s in one.items} == {"tools"}
    assert (one.model, one.served_by, one.kind, one.device) == ("rows/1", "triton", "for_you", "ios")


def hashed(shop: Shop, one: Any) -> list[int]:
    catalogue = shop.pipeline.catalogue
    return [int(catalogue.hashed[catalogue.index[shown.item_id]]) for shown in one.items]


@scenario
async def test_an_empty_slate_has_nothing_to_wait_for() -> None:
    shop = await Shop.open()
    await shop.send(ask("r", 0, filters={"brand": ["none"]}))
    await shop.tick(60)
    assert shop.slate("r")["items"] == []
    assert not shop.feedback
