"""Each importer on a small source of its kind, and on sources that are none."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.errors import Misuse
from streams.event_log import EVENTS, FEEDBACK, HOLDOUT, ITEMS, REJECTS, read_lines
from streams.imports import FORMATS, Selection, write_folder
from streams.imports.table import MAPPINGS, load_mapping


def imported(name: str, source: Path | str | None, **chosen: Any) -> dict[str, list[Any]]:
    """Import into a folder of its own; return the lines of each file."""
    folder = Path(str(source) + "-imported")
    write_folder(FORMATS[name].read(None if source is None else str(source), Selection(**chosen)), folder)
    files = (EVENTS, ITEMS, HOLDOUT, FEEDBACK, REJECTS)
    return {f: [json.loads(line) for _, line in read_lines(folder / f)] for f in files if (folder / f).exists()}


def written(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["log.txt", "log.txt.gz"])
def test_sequences_are_clicks_a_second_apart(tmp_path: Path, name: str) -> None:
    made = imported("sequences", written(tmp_path / name, "u1 a b\nu2 b c a\n"))
    assert sorted((e["user_id"], e["item_id"]) for e in made[EVENTS]) == [
        ("u1", "a"), ("u1", "b"), ("u2", "a"), ("u2", "b"), ("u2", "c"),
    ]  # fmt: skip
    assert [e["at_ms"] - made[EVENTS][0]["at_ms"] for e in made[EVENTS]] == [0, 1000, 2000, 3000, 4000]
    assert [item["item_id"] for item in made[ITEMS]] == list(dict.fromkeys(e["item_id"] for e in made[EVENTS]))
    assert HOLDOUT not in made


def test_at_any_time_users_of_sequences_come_and_go_whatever_their_length(tmp_path: Path) -> None:
    """Of 200 users of 3 items and 100 of 6, each tenth of the log has about as much of both, first and last items."""
    lines = [f"u{n} {' '.join(f'i{k}' for k in range(3 if n < 200 else 6))}\n" for n in range(300)]
    events = imported("sequences", written(tmp_path / "log", "".join(lines)))[EVENTS]
    tenths = [events[n : n + 120] for n in range(0, 1200, 120)]
    for tenth in tenths:
        assert 0.35 < sum(int(e["user_id"][1:]) < 200 for e in tenth) / 120 < 0.65
    lasts = [sum(e["item_id"] == "i2" and int(e["user_id"][1:]) < 200 for e in tenth) for tenth in tenths]
    assert lasts[-1] > lasts[5] > 0


def test_the_order_of_users_in_a_file_of_sequences_means_nothing(tmp_path: Path) -> None:
    drawn = random.Random(4)
    lines = [f"u{n} {' '.join(f'i{drawn.randrange(9)}' for _ in range(drawn.randint(1, 6)))}\n" for n in range(60)]
    mixed = drawn.sample(lines, len(lines))
    assert mixed != lines
    one, other = (imported("sequences", written(tmp_path / f"{n}", "".join(x))) for n, x in enumerate((lines, mixed)))
    assert one == other
    for line in lines:
        user, *items = line.split()
        assert [e["item_id"] for e in one[EVENTS] if e["user_id"] == user] == items


def test_sessions_are_in_the_order_of_the_file_a_minute_apart(tmp_path: Path) -> None:
    long = " ".join(f"i{n}" for n in range(90))
    events = imported("sessions", written(tmp_path / "log", f"a b\n{long}\nc\nd\n"))[EVENTS]
    began: dict[str, int] = {}
    for event in events:
        began.setdefault(event["user_id"], (event["at_ms"] - events[0]["at_ms"]) // 1000)
    assert list(began.items()) == [("s1", 0), ("s2", 60), ("s3", 150), ("s4", 180)]
    assert [e["at_ms"] for e in events] == sorted({e["at_ms"] for e in events})


def test_sessions_have_prefixes_with_targets_beside_them(tmp_path: Path) -> None:
    source = tmp_path / "shop"
    source.mkdir()
    written(source / "shop.train.txt.gz", "1 2\n3 4 5\n")
    written(source / "shop.test.txt", "1 3\t4\n2\t1\n")
    made = imported("sessions", source)
    assert [(e["user_id"], e["item_id"]) for e in made[EVENTS]][2:] == [("s2", "3"), ("s2", "4"), ("s2", "5")]
    assert made[HOLDOUT] == [
        {"user_id": "h1", "items": ["1", "3"], "targets": ["4"]},
        {"user_id": "h2", "items": ["2"], "targets": ["1"]},
    ]


def test_rees46_is_sorted_and_an_item_is_its_last_row(tmp_path: Path) -> None:
    header = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
    rows = (
        "2019-10-01 00:00:02 UTC,purchase,7,1,home.kitchen,acme,9.5,u,s\n"
        "2019-10-01 00:00:01 UTC,remove_from_cart,7,1,,,8.0,u,s\n"
        "2019-10-01 00:00:01 UTC,stolen,7,1,,,8.0,u,s\n"
        "yesterday,view,7,1,,,8.0,u,s\n"
    )
    made = imported("rees46", written(tmp_path / "shop.csv", header + rows))
    assert [e["type"] for e in made[EVENTS]] == ["uncart", "purchase"]
    assert made[EVENTS][1]["price"] == 9.5
    assert made[ITEMS] == [{"item_id": "7", "title": "", "price": 8.0, "brand": None, "category": []}]
    assert [r["reason"].split(":")[0] for r in made[REJECTS]] == ["event_type", "event_time"]


BANDIT = ",timestamp,item_id,position,click,propensity_score,user_feature_0\n"


def bandit(folder: Path, rows: str, items: str = ",item_id,item_feature_0\n0,7,-0.5\n1,8,\n") -> Path:
    folder.mkdir()
    written(folder / "all.csv.gz", BANDIT + rows)
    written(folder / "item_context.csv", items)
    return folder


def test_open_bandit_rows_are_feedback_on_one_item(tmp_path: Path) -> None:
    rows = (
        "0,2019-11-24 00:00:17.004101+00:00,7,2,1,0.0871,x\n"
        "1,2019-11-24 00:00:16+00:00,8,1,0,0.0125,x\n"
        "2,2019-11-24 00:00:17+00:00,8,1,0,,x\n"
        "3,2019-11-24 00:00:17+00:00,8,1,0,0.0,x\n"
    )
    made = imported("open-bandit", bandit(tmp_path / "bts", rows))
    first, second = made[FEEDBACK]
    assert (first["items"][0]["item_id"], first["items"][0]["position"]) == ("8", 0)
    assert "outcome" not in first["items"][0]
    (shown,) = second["items"]
    assert (shown["item_id"], shown["position"], shown["propensity"], shown["outcome"]) == ("7", 1, 0.0871, "click")
    assert second["at_ms"] == shown["outcome_ms"] == 1_574_553_617_004
    assert len({one[name] for one in made[FEEDBACK] for name in ("feedback_id", "user_id")}) == 4
    assert made[ITEMS] == [
        {"item_id": "7", "attributes": {"item_feature_0": "-0.5"}}, {"item_id": "8", "attributes": {}},
    ]  # fmt: skip
    assert [(one["path"], one["reason"].split(",")[0]) for one in made[REJECTS]] == [
        ("", "timestamp"), ("$.items[0].propensity", "Expected `float` > 0.0"),
    ]  # fmt: skip
    assert EVENTS not in made


def test_an_open_bandit_folder_has_a_log_and_items(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Misuse, match=r"empty: SRC is a folder with one CSV file .* there is no CSV file"):
        imported("open-bandit", tmp_path / "empty")
    folder = bandit(tmp_path / "two", "")
    written(folder / "men.csv", BANDIT)
    with pytest.raises(Misuse, match=r"there is all\.csv\.gz, item_context\.csv, men\.csv"):
        imported("open-bandit", folder)
    with pytest.raises(Misuse, match=r"all\.csv\.gz:2: 1 columns, the header has 7"):
        imported("open-bandit", bandit(tmp_path / "broken", "1\n"))


def test_metarank_rankings_are_rerank_requests_with_impressions(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = [
        {"event": "item", "id": "1", "item": "p1", "timestamp": "1599391467000",
         "fields": [{"name": "title", "value": "Nice mug"}, {"name": "colour", "value": ["red", "blue"]}]},
        {"event": "user", "id": "2", "user": "u", "timestamp": "1599391467000", "fields": []},
        {"event": "ranking", "id": "r1", "timestamp": "1599391467001", "user": "u", "session": "s",
         "items": [{"id": "p2"}, {"id": "p1"}], "fields": []},
        {"event": "interaction", "id": "i1", "ranking": "r1", "timestamp": 1599391467002, "user": "u", "session": "s",
         "type": "click", "item": "p1"},
        {"event": "interaction", "id": "i2", "timestamp": "1599391467003", "user": "u", "type": "sneeze", "item": "p1"},
    ]  # fmt: skip
    made = imported("metarank", written(tmp_path / "log", "\n".join(map(json.dumps, events))))
    request, impression, click = made[EVENTS]
    assert (request["kind"], request["items"], request["request_id"]) == ("rerank", ["p2", "p1"], "r1")
    assert (impression["type"], impression["items"]) == ("impression", ["p2", "p1"])
    assert (click["type"], click["item_id"], click["request_id"]) == ("click", "p1", "r1")
    assert made[ITEMS][0]["attributes"] == {"colour": "red, blue"}
    assert len(made[REJECTS]) == 2


RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def test_a_table_is_read_by_its_mapping(tmp_path: Path) -> None:
    rows = (
        '2,B,"TIN, RED",2,12/1/10 8:27,1.5,17850,France\n'
        "1,A,MUG,6,12/1/10 8:26,2.55,17850,France\n"
        "C3,A,MUG,-6,12/1/10 8:30,2.55,17850,France\n"
        "4,A,MUG,6,12/1/10 8:26,2.55,,France\n"
        "5,A,MUG,six,12/1/10 8:26,2.55,1,France\n"
        "6,A,MUG,1,soon,2.55,1,France\n"
    )
    made = imported("table", written(tmp_path / "t.csv", RETAIL + rows), mapping="online-retail")
    assert [(e["item_id"], e["user_id"], e["order_id"], e["quantity"]) for e in made[EVENTS]] == [
        ("A", "17850", "1", 6),
        ("B", "17850", "2", 2),
    ]
    assert made[EVENTS][0]["at_ms"] == 1_291_191_960_000
    assert made[ITEMS][0]["title"] == "TIN, RED"
    assert [r["reason"].split(":")[0] for r in made[REJECTS]] == [
        "a purchase without positive quantity and price (a return, a cancelled order, a correction)",
        "CustomerID", "Quantity", "InvoiceDate",
    ]  # fmt: skip


def test_a_parquet_table_gives_the_same_as_csv(tmp_path: Path) -> None:
    table = {"userId": [1, 2], "movieId": [5, 6], "rating": [4.5, 2.0], "timestamp": [1_000_000_001, 1_000_000_000]}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    text = "userId,movieId,rating,timestamp\n1,5,4.5,1000000001\n2,6,2.0,1000000000\n"
    one = imported("table", tmp_path / "t.parquet", mapping="movielens")
    assert one == imported("table", written(tmp_path / "t.csv", text), mapping="movielens")
    assert [(e["type"], e["user_id"], e["value"]) for e in one[EVENTS]] == [("rating", "2", 2.0), ("rating", "1", 4.5)]


def test_a_null_in_the_first_row_of_parquet_is_no_missing_column(tmp_path: Path) -> None:
    table = {
        "userId": [None, 2, 3],
        "movieId": [5, 6, 7],
        "rating": [None, None, 4.5],
        "timestamp": [1_000_000_000] * 3,
    }
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    made = imported("table", tmp_path / "t.parquet", mapping="movielens")
    assert [r["reason"] for r in made[REJECTS]] == ["userId: missing", "Object missing required field `value`"]


def test_a_price_that_is_no_number_refuses_its_row_also_where_only_the_item_has_one(tmp_path: Path) -> None:
    mapping = '[event]\nuser="u"\nitem="i"\ntime="t"\ntime_format="s"\ntype="view"\n[item]\nprice="p"\n'
    source = written(tmp_path / "t.csv", "u,i,t,p\n1,5,1000000000,9.5\n2,6,1000000001,cheap\n3,7,1000000002,\n")
    made = imported("table", source, mapping=str(written(tmp_path / "m.toml", mapping)))
    assert made[ITEMS] == [{"item_id": "5", "price": 9.5}, {"item_id": "7"}]
    assert [(r["reason"], r["line"]["i"]) for r in made[REJECTS]] == [("p: 'cheap' is not a number", "6")]


def test_times_in_another_unit_are_refused_and_told(tmp_path: Path) -> None:
    rows = "1000000000000,1,view,5,\n1000000000,1,view,5,\n"
    source = written(tmp_path / "t.csv", "timestamp,visitorid,event,itemid,transactionid\n" + rows)
    made = imported("table", source, mapping="retailrocket")
    assert (len(made[EVENTS]), [r["path"] for r in made[REJECTS]]) == (1, ["$.at_ms"])
    written(source, "timestamp,visitorid,event,itemid,transactionid\n1000000000,1,view,5,\n")
    with pytest.raises(Misuse, match=r"no event in the source \(1 rows: \$\.at_ms"):
        imported("table", source, mapping="retailrocket")


def test_shipped_mappings_can_be_loaded() -> None:
    assert all(load_mapping(name).event.user for name in MAPPINGS)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("sequences", "u1 a\nu2\n", r":2: a user without items"),
        ("sequences", "u1 a\nu1 b\n", r":2: user u1 again"),
        ("sequences", "", r"no event in the source"),
        ("sessions", "1 2\t3\n", r":1: a TAB among the items"),
        ("rees46", "a,b\n1,2\n", r":2: no column 'event_time'; there are a, b"),
        ("rees46", "a,b\n1\n", r":2: 1 columns, the header has 2"),
        ("rees46", "", r"the file is empty"),
        ("metarank", '{"event":"item"}\n', r":1: no event of Metarank's"),
        ("metarank", "event,id\n", r":1: no event of Metarank's"),
        ("table", "x,y\n1,2\n", r":2: no column 'CustomerID'"),
        ("table", RETAIL.replace("Description", "Text") + ",,,,,,,\n", r":2: no column 'Description'"),
        ("table", '{"CustomerID":1}\n', r"neither CSV nor Parquet"),
    ],
)
def test_what_is_of_another_format_is_one_sentence_with_its_place(
    tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    chosen = {"mapping": "online-retail"} if name == "table" else {}
    with pytest.raises(Misuse, match=sentence):
        imported(name, written(tmp_path / "source", text), **chosen)
    assert not list((tmp_path / "source-imported").iterdir())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[event]\nuser = 1", r"user"),
        ("event = ", r"--mapping .*Invalid value"),
        ('[event]\nuser="u"\nitem="i"\ntime="t"\ntime_format="s"\ntype="view"\ntpye="x"', r"unknown field `tpye`"),
    ],
)
def test_a_wrong_mapping_is_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(Misuse, match=sentence):
        load_mapping(str(written(tmp_path / "m.toml", text)))
    with pytest.raises(Misuse, match="neither a readable file"):
        load_mapping(str(tmp_path / "none.toml"))


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "complete-journey"])
def test_a_missing_source_is_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=f"{name} needs SRC"):
        next(FORMATS[name].read(None, Selection()))
    with pytest.raises(Misuse, match=r"cannot read|neither|SRC"):
        list(FORMATS[name].read(str(tmp_path / "none"), Selection()))
    with pytest.raises(Misuse, match="takes all users"):
        next(FORMATS[name].read("x", Selection(users=3)))
