"""Each source finds what it should, the best first."""

import math
import random

import pytest

from streams.features.user import UserState
from streams.retrieval.arrivals import NEW_FOR_MS, Arrivals
from streams.retrieval.blend import default_sources
from streams.retrieval.covisit import Covisit
from streams.retrieval.repeat import Repeat
from streams.retrieval.title import TitleWords
from streams.retrieval.trending import Best, TrendingInCategory
from tests.unit.building import DAY, T0, event, folded, item
from tests.unit.shop import MONTH, TODAY, Shop

SOURCES = default_sources()
TRENDING = Best("trending", "trend", 1.0)
POPULAR = Best("popular", "popular", 1.0)


def bought(*item_ids: str, at_ms: int = T0) -> UserState:
    return folded(
        *((event("purchase", item_id=item_id, order_id=f"o{n}"), at_ms) for n, item_id in enumerate(item_ids))
    )


def viewed(*item_ids: str) -> UserState:
    return folded(*((event("view", item_id=item_id), T0) for item_id in item_ids))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
@pytest.mark.parametrize(
    "shop", [Shop(), Shop(item("a", category=["c", "d"], title="x")).sold(a=1)], ids=["empty", "one"]
)
def test_cold_users_and_unknown_items_dont_trouble_it(source: object, shop: Shop) -> None:
    for kind in source.kinds:  # type: ignore[attr-defined]
        found = shop.found(source, kind, item_id="nobody", query="nothing")  # type: ignore[arg-type]
        assert len(found.items) == len(found.because)
        assert set(shop.names(found.items.tolist())) <= {"a"}


def test_names_are_different() -> None:
    assert len({source.name for source in SOURCES}) == len(SOURCES)


def test_repeat_prefers_what_is_bought_often_and_lately() -> None:
    long_ago = folded((event("purchase", item_id="old", order_id="x"), T0 - 300 * DAY), state=viewed("seen"))
    state = folded((event("purchase", item_id="twice", order_id="y"), T0), state=long_ago)
    state = folded((event("purchase", item_id="twice", order_id="z"), T0 + 1), state=state)
    assert Shop().find(Repeat(), state=state) == ["twice", "seen", "old"]


def test_covisit_goes_on_from_what_was_touched_last() -> None:
    shop = Shop().together("a", "b").together("a", "c", 3000).together("z", "d", 9000)
    found = shop.found(Covisit(), state=viewed("a"))
    assert shop.names(found.items.tolist()) == ["c", "b"]
    assert shop.names(found.because.tolist()) == ["a", "a"]


def test_covisit_names_the_seed_that_spoke_most() -> None:
    shop = Shop().together("a", "x", 100).together("b", "x", 9000)
    for seen in (("a", "b"), ("b", "a")):
        found = shop.found(Covisit(), state=viewed(*seen))
        assert dict(zip(shop.names(found.items.tolist()), shop.names(found.because.tolist()), strict=True))["x"] == "b"


def test_covisit_trusts_the_latest_item_and_the_rare_one_more() -> None:
    shop = Shop().together("a", "x").together("b", "y")
    assert shop.find(Covisit(), state=viewed("a", "b")) == ["y", "x"]
    shop = Shop().together("a", "x").together("a", "y").sold(x=50)
    assert shop.find(Covisit(), state=viewed("a")) == ["y", "x"]


def test_covisit_forgets_with_the_months() -> None:
    shop = Shop().together("a", "old", 1000, MONTH - 12).together("a", "new", 900)
    assert shop.find(Covisit(), "similar", item_id="a") == ["new", "old"]


def test_trending_is_of_lately_and_popular_of_ever() -> None:
    shop = Shop().sold(TODAY - 40, hit=100).sold(fad=10)
    assert shop.find(TRENDING) == ["fad", "hit"]
    assert shop.find(POPULAR) == ["hit", "fad"]


def test_signals_weigh_differently() -> None:
    shop = Shop().sold(signal="v", looked=5).sold(signal="a", carted=2).sold(signal="p", bought=2)
    assert shop.find(TRENDING) == ["bought", "carted", "looked"]


def test_a_category_filter_narrows_the_best_by_turns() -> None:
    shop = Shop(
        item("s1", category=["shoes"]), item("s2", category=["shoes"]), item("h1", category=["x", "hats"]), item("o")
    )
    shop.sold(s1=9, s2=8, h1=1, o=100)
    assert shop.find(TRENDING, filters={"category": ["shoes"]}) == ["s1", "s2"]
    assert set(shop.find(TRENDING, filters={"category": ["shoes", "hats"]})[:2]) == {"s1", "h1"}
    assert shop.find(TRENDING, filters={"category": ["nothing"]}) == []


def test_trends_of_the_categories_a_user_likes() -> None:
    items = [item(f"{c}{n}", category=["all", c]) for c in "abc" for n in range(3)]
    shop = Shop(*items).sold(a1=5, a2=4, b1=3, b2=9, c1=99)
    assert shop.find(TrendingInCategory(), state=viewed("b0", "a0", "a1")) == ["a1", "b2", "a2", "b1"]
    assert shop.find(TrendingInCategory(), "similar", item_id="c0") == ["c1"]


def test_arrivals_are_new_as_of_the_request_the_users_categories_first() -> None:
    shop = Shop(
        item("old", created_ms=T0 - NEW_FOR_MS), item("fresh", created_ms=T0 - DAY), item("newer", created_ms=T0),
        item("mine", created_ms=T0 - 9 * DAY, category=["x", "y"]), item("tomorrow", created_ms=T0 + 1),
        item("own", category=["x", "y"]), item("undated"),
    )  # fmt: skip
    arrivals = Arrivals()
    assert shop.find(arrivals, state=viewed("own")) == ["mine", "newer", "fresh"]
    shop.catalogue.upsert(item("newest", created_ms=T0))
    shop.catalogue.delete("newer")
    assert shop.find(arrivals) == ["newest", "fresh", "mine"]


def test_search_prefers_rare_words_then_popularity() -> None:
    shop = Shop(
        item("a", title="Red running shoe"), item("b", title="Red shoe"), item("c", title="Blue SHOE"),
        item("d", title="Hat"),
    )  # fmt: skip
    shop.sold(b=1, c=2)
    title = TitleWords()
    assert shop.find(title, "search", query="running shoe, red") == ["a", "b", "c"]
    assert shop.find(title, "search", query="shoe") == ["c", "b", "a"]
    assert shop.find(title, "search", query="sock") == []
    shop.catalogue.upsert(item("c", title="Sock"))
    assert shop.find(title, "search", query="shoe") == ["b", "a"]
    assert shop.find(title, "search", query="sock") == ["c"]


def test_search_among_many_matches_is_the_definition() -> None:
    drawn = random.Random(1)
    titles = {f"i{n}": " ".join(drawn.choices(["red", "blue", "shoe", "hat", "sock"], k=3)) for n in range(700)}
    shop = Shop(*(item(name, title=title) for name, title in titles.items()))
    shop.sold(**{name: 1 + n % 5 for n, name in enumerate(titles)})
    sets = {name: set(title.split()) for name, title in titles.items()}
    idf = {word: math.log1p(700 / (1 + sum(word in found for found in sets.values()))) for word in ("hat", "red")}
    score = {name: sum(idf[word] for word in ("hat", "red") if word in found) for name, found in sets.items()}

    def rank(name: str) -> tuple[float, int, int]:
        i = shop.catalogue.index[name]
        return -score[name], -int(shop.counters.popularity.counts("popular", 700)[i]), int(shop.catalogue.digest[i])

    wanted = sorted((name for name in titles if score[name]), key=rank)[:200]
    assert len(wanted) == 200
    assert shop.find(TitleWords(), "search", query="red hat") == wanted
