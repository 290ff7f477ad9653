import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pandas as pd
import pytest

from streams.contracts.events import Purchase, decode_event
from streams.contracts.items import decode_item
from streams.errors import BadEvent, Misuse
from streams.event_log import EVENTS, ITEMS
from streams.imports import Selection
from streams.imports.complete_journey import convert, read

PRODUCTS = pd.DataFrame(
    {
        "product_id": [10, 11, 12],
        "manufacturer_id": [2, 69, 7],
        "department": ["GROCERY", "DRUG GM", "MISCELLANEOUS"],
        "brand": ["National", "Private", None],
        "product_category": ["FRZN ICE", "SOAP", None],
        "product_type": ["ICE - CRUSHED", None, None],
        "package_size": [" 22 LB ", None, None],
    }
)


def _sales(*rows: tuple[Any, ...]) -> pd.DataFrame:
    names = ["household_id", "basket_id", "product_id", "quantity", "sales_value", "transaction_timestamp"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.assign(transaction_timestamp=pd.to_datetime(frame["transaction_timestamp"]))


def _lines(sales: pd.DataFrame, file: str, **selection: Any) -> list[dict[str, Any]]:
    return [dict(line.value) for line in convert(sales, PRODUCTS, Selection(**selection)) if line.file == file]


def _refusal(line: dict[str, Any]) -> str:
    with pytest.raises(BadEvent) as caught:
        decode_event(msgspec.json.encode(line))
    return caught.value.path


def test_a_basket_line_becomes_a_purchase_at_its_unit_price() -> None:
    (event,) = _lines(_sales((900, 5001, 10, 3, 2.5, "2017-01-01 11:53:26")), EVENTS)
    assert decode_event(msgspec.json.encode(event)) == Purchase(
        user_id="900",
        event_id="5001-1",
        at_ms=1_483_271_606_000,
        item_id="10",
        quantity=3,
        price=0.8333,
        currency="USD",
        order_id="5001",
    )


def test_events_come_by_time_and_lines_of_one_instant_as_in_the_source() -> None:
    late, early = "2017-01-02 08:00:00", "2017-01-01 08:00:00"
    sales = _sales(
        (1, 7, 12, 1, 1.0, late), (2, 6, 11, 1, 1.0, early), (1, 7, 10, 1, 1.0, late), (2, 6, 10, 1, 1.0, early)
    )
    assert [event["event_id"] for event in _lines(sales, EVENTS)] == ["6-1", "6-2", "7-1", "7-2"]


def test_an_item_carries_its_path_its_attributes_and_the_median_price_paid() -> None:
    at = "2017-01-01"
    sales = _sales((1, 1, 10, 1, 3.0, at), (1, 2, 10, 2, 4.0, at), (1, 3, 10, 1, 9.0, at), (1, 4, 10, 1, 0.0, at))
    full, partial, bare = _lines(sales, ITEMS)
    assert full == {
        "item_id": "10",
        "title": "ICE - CRUSHED, 22 LB",
        "brand": "National",
        "category": ["GROCERY", "FRZN ICE", "ICE - CRUSHED"],
        "price": 3.0,
        "currency": "USD",
        "in_stock": True,
        "attributes": {"package_size": "22 LB", "manufacturer": "2"},
    }
    assert partial["category"] == ["DRUG GM", "SOAP"]
    assert partial["title"] == "SOAP"
    assert bare == {
        "item_id": "12",
        "title": "MISCELLANEOUS",
        "category": ["MISCELLANEOUS"],
        "in_stock": True,
        "attributes": {"manufacturer": "7"},
    }
    for item in (full, partial, bare):
        assert decode_item(msgspec.json.encode(item)).item_id == item["item_id"]


@pytest.mark.parametrize(
    ("column", "value", "path"),
    [
        ("quantity", 0, "$.quantity"),
        ("quantity", -2, "$.quantity"),
        ("quantity", 14_512, "$.quantity"),
        ("quantity", 2.5, "$.quantity"),
        ("quantity", math.nan, "$.quantity"),
        ("sales_value", -1.0, "$.price"),
        ("household_id", math.nan, "$.user_id"),
        ("product_id", math.nan, "$.item_id"),
        ("transaction_timestamp", pd.NaT, "$.at_ms"),
    ],
)
def test_what_does_not_fit_is_refused_by_the_contract_and_the_rest_is_not(column: str, value: Any, path: str) -> None:
    at = "2017-01-01"
    good, bad = _sales((1, 5, 10, 1, 1.0, at)), _sales((1, 6, 11, 1, 1.0, at))
    both = pd.concat([good, bad.assign(**{column: value})], ignore_index=True)
    first, second = _lines(both, EVENTS)
    assert decode_event(msgspec.json.encode(first)).event_id == "5-1"
    assert _refusal(second) == path


def test_a_missing_sum_leaves_the_price_out() -> None:
    (event,) = _lines(_sales((1, 5, 10, 1, math.nan, "2017-01-01")), EVENTS)
    assert "price" not in event
    assert "currency" not in event
    assert decode_event(msgspec.json.encode(event)).price is None


def test_a_sample_is_whole_households_with_the_ids_they_always_have() -> None:
    rows = [(h, 100 + h + b, 10 + b, 1, 1.0, f"2017-01-{b + 1:02d}") for h in range(0, 200, 10) for b in range(3)]
    sales = _sales(*rows)
    everything = {event["event_id"]: event for event in _lines(sales, EVENTS)}
    drawn = _lines(sales, EVENTS, users=5, seed=1)
    households = {event["user_id"] for event in drawn}
    assert len(households) == 5
    assert households != {"0", "10", "20", "30", "40"}
    assert len(drawn) == 15
    assert all(everything[event["event_id"]] == event for event in drawn)
    assert _lines(sales, EVENTS, users=5, seed=1) == drawn
    assert _lines(sales, EVENTS, users=5, seed=2) != drawn
    assert _lines(sales, ITEMS, users=5) == _lines(sales, ITEMS)
    with pytest.raises(Misuse, match="--households 21: the data has 20"):
        _lines(sales, EVENTS, users=21)


def test_a_source_is_refused() -> None:
    with pytest.raises(Misuse, match=r"not data\.csv: leave SRC out"):
        next(read("data.csv", Selection()))


@pytest.fixture(scope="module")
def real() -> list[tuple[str, bytes]]:
    lines: Iterator[Any] = read(None, Selection(users=20, seed=3))
    return [(line.file, msgspec.json.encode(line.value)) for line in lines]


def test_the_real_package_imports(real: list[tuple[str, bytes]]) -> None:
    items = [decode_item(raw) for file, raw in real if file == ITEMS]
    assert len(items) == 92_331
    assert len({item.item_id for item in items}) == len(items)
    assert sum(item.price is not None for item in items) > 60_000
    events, refused = [], []
    for raw in (raw for file, raw in real if file == EVENTS):
        try:
            events.append(decode_event(raw))
        except BadEvent as exc:
            refused.append(exc.path)
    assert len({event.user_id for event in events}) == 20
    assert len({event.event_id for event in events}) == len(events) > 1_000
    assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
    assert set(refused) == {"$.quantity"}
    assert len(refused) < len(events) / 20
