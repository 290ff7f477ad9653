import numpy as np
import pytest

from inference.tensors import SEEDS
from streams.retrieval.base import Asked, Found
from streams.retrieval.blend import RANK_OFFSET, Retriever
from tests.unit.building import T0, event, folded, item
from tests.unit.shop import Shop


class Says:
    """A source that always says the same."""

    def __init__(self, name: str, weight: float, *item_ids: str, because: str | None = None) -> None:
        self.name, self.weight, self.kinds = name, weight, frozenset({"for_you"})
        self._item_ids, self._because = item_ids, because

    def find(self, asked: Asked) -> Found:
        items = asked.catalogue.indices_of(self._item_ids)
        because = -1 if self._because is None else asked.catalogue.index_of(self._because)
        return Found(items, np.full(len(items), because, np.int64))


def test_ranks_are_fused_by_weight() -> None:
    shop = Shop()
    retriever = Retriever(10, [Says("one", 2.0, "a", "b"), Says("two", 1.0, "b", "c", because="z")])
    found = retriever.find(shop.asked())
    assert shop.names(found.items.tolist()) == ["b", "a", "c"]
    wanted = [2 / (RANK_OFFSET + 1) + 1 / RANK_OFFSET, 2 / RANK_OFFSET, 1 / (RANK_OFFSET + 1)]
    assert found.fused.tolist() == pytest.approx(wanted)
    assert [retriever.source_names[s] for s in found.sources] == ["one", "one", "two"]
    assert shop.names(found.because.tolist()) == ["", "", "z"]


def test_each_candidate_comes_once_and_the_limit_holds_after_the_filters() -> None:
    names = [f"i{n}" for n in range(30)]
    sources = [Says("one", 1.0, *names), Says("two", 1.0, *reversed(names))]
    shop = Shop()
    found = Retriever(12, sources).find(shop.asked(filters={"exclude": names[:20]}))
    assert set(shop.names(found.items.tolist())) == set(names[20:])
    assert len(Retriever(5, sources).find(shop.asked()).items) == 5


def test_ties_dont_depend_on_the_order_in_which_items_were_seen() -> None:
    names = [f"i{n}" for n in range(50)]
    chosen = []
    for order in (names, names[::-1]):
        shop = Shop(*(item(name) for name in order))
        sources = [Says(name, 1.0, name) for name in names]
        chosen.append(shop.names(Retriever(20, sources).find(shop.asked()).items.tolist()))
    assert chosen[0] == chosen[1]


def test_no_source_for_a_kind_means_no_candidates() -> None:
    shop = Shop(item("a"))
    assert len(Retriever(10, [Says("one", 1.0, "a")]).find(shop.asked("similar", item_id="a")).items) == 0
    assert len(Retriever(10, []).find(shop.asked()).items) == 0


def test_given_items_are_reranked_all_of_them_and_nothing_else() -> None:
    shop = Shop(item("a"), item("b")).sold(popular=99)
    names = [f"new{n}" for n in range(300)]
    asked = shop.asked("rerank", items=["b", *names, "a", "b"])
    retriever = Retriever(10)
    found = retriever.find(asked)
    assert sorted(shop.names(found.items.tolist())) == sorted(["a", "b", *names])
    assert {retriever.source_names[s] for s in found.sources} == {"request"}


@pytest.mark.parametrize("known", [1_000, 1_023, 1_024])
def test_unknown_items_to_rerank_may_grow_the_catalogue_beyond_the_scratch_space(known: int) -> None:
    shop = Shop(*(item(f"i{n}") for n in range(known)))
    state = folded((event("view", item_id="i0"), T0))
    items = [f"new{n}" for n in range(900)]
    assert len(shop.recommender.prepare(shop.ask("rerank", state, items=items)).features) == 900


def test_pairs_are_those_of_each_seed_with_each_candidate() -> None:
    shop = Shop().together("a", "x", 4000).together("b", "x", 1000).together("b", "y", 2000).sold(z=1)
    state = folded((event("view", item_id="a"), T0), (event("view", item_id="b"), T0))
    found = shop.blended(state=state)
    table = dict(zip(shop.names(found.items.tolist()), found.pairs.tolist(), strict=True))
    assert found.pairs.shape == (len(found.items), SEEDS)
    assert not found.pairs[:, 2:].any()
    assert [value > 0 for value in table["x"][:2]] == [True, True]
    assert table["x"][1] > table["x"][0]
    assert [value > 0 for value in table["y"][:2]] == [True, False]
    assert table["z"][:2] == [0.0, 0.0]


def test_demand_comes_with_the_candidates() -> None:
    shop = Shop().sold(a=2)
    found = shop.blended()
    assert (found.log_trend.tolist(), found.log_popular.tolist()) == ([np.log1p(12)], [np.log1p(12)])


@pytest.mark.parametrize("kind", ["for_you", "similar", "search", "bundle"])
def test_an_empty_shop_has_no_candidates(kind: str) -> None:
    assert Shop().candidates(kind, item_id="a", query="q", items=[]) == []
