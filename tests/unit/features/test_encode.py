import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from inference.tensors import FEATURES, HISTORY, MAX_ID
from streams.features.encode import Candidates, History, history_ids
from streams.features.item import hashed_id
from streams.features.touch import Touch, pack
from streams.features.user import EMPTY, UserState
from tests.unit.building import DAY, T0, at, event, folded, item
from tests.unit.shop import Shop


def rows(shop: Shop, kind: str = "rerank", **asked: Any) -> dict[str, dict[str, float]]:
    """Return the features by name of each candidate; numpy must have nothing to warn of."""
    with np.errstate(all="raise"):
        prepared = shop.recommender.prepare(shop.ask(kind, **asked))
    table, names = prepared.features, shop.names(prepared.candidates.items.tolist())
    assert table.dtype == np.float32
    assert table.shape == (len(names), len(FEATURES))
    assert table.flags.c_contiguous
    assert np.isfinite(table).all()
    assert np.all(shop.recommender.retriever.slots == -1)
    return {name: dict(zip(FEATURES, row.tolist(), strict=True)) for name, row in zip(names, table, strict=True)}


def test_what_the_user_did_with_a_candidate() -> None:
    state = folded(
        (event("purchase", item_id="milk", order_id="1"), T0 - 20 * DAY),
        (event("purchase", item_id="soap", order_id="1"), T0 - 20 * DAY),
        (event("purchase", item_id="milk", order_id="2"), T0 - 10 * DAY),
        (event("cart", item_id="book"), T0 - DAY),
    )
    table = rows(Shop(), state=state, items=["milk", "soap", "book", "other"])
    milk, soap, book, other = (table[name] for name in ("milk", "soap", "book", "other"))
    assert milk["own"] == soap["own"] == book["own"] == 1
    assert milk["own_bought"] == pytest.approx(math.log(3))
    assert milk["own_days"] == pytest.approx(math.log(11), rel=1e-3)
    assert milk["own_due"] == pytest.approx(1.0, rel=1e-3)
    assert milk["own_gap"] == pytest.approx(math.log(11))
    assert milk["own_rate"] == pytest.approx(math.log1p((1 + 0.5 ** (10 / 60)) * 0.5 ** (10 / 60)), rel=0.02)
    assert (milk["own_share"], soap["own_share"], book["own_share"]) == (1.0, 0.5, 0.0)
    assert (book["own_place"], milk["own_place"], soap["own_place"]) == (1.0, 0.5, pytest.approx(1 / 3))
    assert (soap["own_due"], soap["own_gap"]) == (0, 0)
    assert (book["own_carted"], book["own_clicked"], milk["own_carted"]) == (1, 0, 0)
    assert book["own_touches"] == pytest.approx(math.log(2))
    assert all(other[name] == 0 for name in FEATURES if name.startswith("own"))
    assert [row["user_baskets"] for row in table.values()] == pytest.approx([math.log(3)] * 4)
    assert [row["user_items"] for row in table.values()] == pytest.approx([math.log(4)] * 4)


@pytest.mark.parametrize(
    ("name", "fields", "column"),
    [
        ("view", {}, "own_clicked"),
        ("click", {}, "own_clicked"),
        ("cart", {}, "own_carted"),
        ("uncart", {}, "own_uncarted"),
        ("rating", {"value": 5}, "own_liked"),
    ],
)
def test_the_last_signal(name: str, fields: dict[str, Any], column: str) -> None:
    state = folded((event(name, item_id="a", **fields), T0))
    row = rows(Shop(), state=state, items=["a"])["a"]
    columns = ("own_clicked", "own_carted", "own_liked", "own_uncarted")
    assert [row[other] for other in columns] == [float(other == column) for other in columns]


def test_how_a_candidate_goes_with_the_latest_items() -> None:
    shop = Shop().together("a", "x", 4000).together("b", "x", 1000).together("b", "y", 2000)
    state = folded((event("view", item_id="a"), T0), (event("view", item_id="b"), T0))
    table = rows(shop, state=state, items=["x", "y", "z"])
    pairs = shop.blended("rerank", state=state, items=["x", "y", "z"]).pairs
    order = list(table)
    for place, name in enumerate(order):
        row = table[name]
        assert row["pair_last"] == pytest.approx(np.log1p(pairs[place, 0]))
        assert row["pair_second"] == pytest.approx(np.log1p(pairs[place, 1]))
        assert row["pair_total"] == pytest.approx(np.log1p(pairs[place].sum()))
        assert row["pair_best"] == pytest.approx(np.log1p(pairs[place].max()))
        assert row["pair_third"] == 0
    assert [round(table[name]["pair_hits"], 4) for name in ("x", "y", "z")] == [0.2, 0.1, 0.0]


def test_how_a_candidate_fits_the_users_items() -> None:
    shop = Shop(
        item("own", category=["a", "b", "c", "d"], brand="Acme", price=100),
        item("same", category=["a", "b", "c"], brand="Acme", price=100, created_ms=T0 - DAY),
        item("near", category=["a", "z"], price=200, created_ms=T0 - 31 * DAY),
        item("far"),
    )
    table = rows(shop, state=folded((event("purchase", item_id="own"), T0)), items=["same", "near", "far"])
    columns = ("category_0", "category_1", "category_2", "brand", "new")
    assert [table["same"][name] for name in columns] == [1, 1, 1, 1, 1]
    assert [table["near"][name] for name in columns] == [1, 0, 0, 0, 0]
    assert [table["far"][name] for name in columns] == [0, 0, 0, 0, 0]
    assert table["same"]["price_gap"] == pytest.approx(0, abs=1e-6)
    assert table["near"]["price_gap"] == pytest.approx(math.log(2))
    assert (table["far"]["price"], table["far"]["price_gap"]) == (0, 0)


@pytest.mark.parametrize("kind", ["for_you", "similar", "bundle", "search"])
def test_the_kind_of_request(kind: str) -> None:
    shop = Shop(item("a", title="q")).sold(a=3)
    row = rows(shop, kind, item_id="b", query="q", items=[])["a"]
    assert [row[f"kind_{name}"] for name in ("similar", "bundle", "search")] == [
        float(kind == name) for name in ("similar", "bundle", "search")
    ]
    assert row["popular"] == row["trend"] == pytest.approx(math.log(19))
    assert row["rising"] == 0


ODD = {
    "a new user": EMPTY,
    "saturated words": UserState(
        last_ms=T0, items={f"s{n}": pack(Touch(2**25 - 1, n % 8, 15, 255, 255, 4095)) for n in range(20)}
    ),
    "the oldest words": UserState(last_ms=1, items={f"o{n}": pack(Touch(0, n % 8, 0, n, 0.0, 0)) for n in range(20)}),
    "a user of the future": UserState(last_ms=T0 + 900 * DAY, baskets=2**31 - 1, items={"f": 0}),
    "a thousand items": UserState(last_ms=T0, items={f"i{n}": 0 for n in range(1_000)}),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", ["for_you", "similar", "bundle", "search", "rerank"])
def test_odd_states_and_items_are_encoded_without_a_warning(name: str, kind: str) -> None:
    shop = Shop(
        item("free", price=0, title="q"), item("tiny", price=5e-324, title="q"),
        item("huge", price=1e12, created_ms=T0 * 2),
        item("i1", price=1, category=[str(n) for n in range(16)]),
    ).sold(free=1, tiny=2**40, huge=1).together("i1", "huge", 2**31).together("s1", "free")  # fmt: skip
    given = ["i1"] if kind == "bundle" else ["free", "tiny", "huge", "i1", "s1", "o1"]
    table = rows(shop, kind, state=ODD[name], items=given, item_id="i1", query="q")
    assert table


def test_nothing_to_encode() -> None:
    assert rows(Shop(), "for_you") == {}


def test_history_is_the_latest_first_padded_with_zeros() -> None:
    shop = Shop()
    state = folded(*((event("view", item_id=f"i{n}"), at(n)) for n in range(3)))
    history = History.of(state, shop.catalogue)
    assert shop.names(history.items.tolist()) == ["i2", "i1", "i0"]
    assert history.touches.last_min.tolist() == sorted(history.touches.last_min.tolist(), reverse=True)
    ids = history_ids(history, shop.catalogue)
    assert ids.shape == (HISTORY,)
    assert ids[:3].tolist() == [hashed_id(digest) for digest in shop.catalogue.digest[history.items].tolist()]
    assert ids[3:].tolist() == [0] * (HISTORY - 3)
    many = History.of(folded(*((event("view", item_id=f"i{n}"), T0) for n in range(HISTORY + 5))), shop.catalogue)
    assert np.all(history_ids(many, shop.catalogue) > 0)


def test_hashed_ids_are_positive_and_leave_zero_to_the_padding() -> None:
    assert [hashed_id(digest) for digest in (0, MAX_ID - 1, MAX_ID, MAX_ID + 1)] == [1, MAX_ID, 1, 2]
    assert all(1 <= hashed_id(digest) <= np.iinfo(np.int32).max for digest in (2**63, 2**64 - 1))


def test_candidates_have_no_other_columns() -> None:
    """A column added to `Candidates` needs a feature, a test above, and a new contract."""
    assert {field.name for field in dataclasses.fields(Candidates)} == {
        "items", "sources", "because", "fused", "pairs", "counts", "seeds", "log_trend", "log_popular",
    }  # fmt: skip
