"""`streamrank simulate` as it is called: the same bytes each time, and one sentence for whatever is wrong."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.cli import run
from streams.evaluation.protocols import PROTOCOLS
from tests.logs import shop_log
from tests.unit.building import item, wire
from tests.unit.evaluation.files import click, write

SESSION = '{"user_id": "h", "items": ["i1"], "targets": ["i2"]}\n'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    (folder / "holdout.jsonl").write_text(SESSION)
    items = [item(f"i{n}", category=[f"c{n % 3}"]) for n in range(120)]
    return write(folder, (value for _, value in shop_log(1_500, users=200, seed=6)), items)


def result_of(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a result without its timing, as text, and the timing."""
    result = json.loads(path.read_bytes())
    timing = result.pop("timing")
    return json.dumps(result), timing


def test_the_same_command_gives_the_same_bytes_however_python_hashes(log: Path, tmp_path: Path) -> None:
    results = []
    for n, more in enumerate(([], ["--processes", "3"])):
        path = tmp_path / f"{n}.json"
        command = [sys.executable, "-m", "streams.cli", "simulate", str(log), "--protocol", "holdout-last", "--strict"]
        command += ["--mask-history", "--fit", "--json", str(path), *more]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": str(n)}, check=True, capture_output=True)
        results.append(result_of(path))
    assert results[0][0] == results[1][0]
    for _, timing in results:
        assert set(timing) == {"events_s", "slates_s", "share_outside_ranker", "seconds", "peak_rss_bytes"}
        assert all(value > 0 for value in timing.values())


@pytest.mark.parametrize("protocol", ["prequential", "next-basket", "holdout-last", "holdout-file"])
def test_the_table_and_the_json_say_the_same(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    path = tmp_path / "result.json"
    options = ["--sample", "0.2"] if protocol == "prequential" else []
    assert run(["simulate", str(log), "--protocol", protocol, "--k", "5", "--json", str(path), *options]) == 0
    result = json.loads(path.read_text())
    shown = capsys.readouterr()
    assert f"{protocol}: {result['cases']:,} cases of {result['users']:,} users, k = 5" in shown.out
    for name, values in result["results"].items():
        (row,) = [line.split() for line in shown.out.splitlines() if line.split()[:1] == [name]]
        metrics = ("recall",) if name == "ceiling" else ("hit_rate", "recall", "precision", "ndcg", "mrr", "map")
        assert row[1 : 1 + len(metrics)] == [f"{values[metric]:.4f}" for metric in metrics]
    assert "$.event_id" in shown.err, "what was left out is told"


def test_only_the_named_sources_are_asked(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    assert run(["simulate", str(log), "--sources", "popular, repeat", "--json", str(path)]) == 0
    assert set(json.loads(path.read_text())["results"]["streamrank"]["sources"]) == {"popular", "repeat"}


def test_a_log_without_anything_before_the_split_has_a_result(tmp_path: Path) -> None:
    folder = write(tmp_path, [wire("purchase", "u", item_id="a"), wire("purchase", "v", item_id="b")])
    path = tmp_path / "result.json"
    assert run(["simulate", str(folder), "--split", "2020-01-01T00:00Z", "--json", str(path)]) == 0
    assert json.loads(path.read_text())["results"]["popular"]["hit_rate"] == 0.0
    assert "NaN" not in path.read_text()


WRONG = [
    ("--protocol nope", "'nope' is not one of"),
    ("--k 0", "'--k'"),
    ("--k x", "'--k'"),
    ("--sample 0", "'--sample'"),
    ("--sample 1.5", "'--sample'"),
    ("--min-count -1", "'--min-count'"),
    ("--processes 0", "'--processes'"),
    ("--seed -1", "'--seed'"),
    ("--split yesterday", "yesterday is no time"),
    ("--split 2020-01-01", "has no zone"),
    ("--split 1600000000", "is not between 1995 and 2100"),
    ("--split 2090-01-01T00:00Z", "events.jsonl: nothing to predict: no purchase at or after the split"),
    ("--protocol prequential --split 2090-01-01T00:00Z", "events.jsonl: nothing to predict: no signal at or after"),
    ("--protocol holdout-last --split 2020-01-01T00:00Z", "--split: holdout-last splits by user"),
    ("--protocol holdout-file --split 2020-01-01T00:00Z", "--split, --strict: holdout-file is split already"),
    ("--protocol holdout-file --strict", "--split, --strict: holdout-file is split already"),
    ("--protocol holdout-file --holdout missing.jsonl", "missing.jsonl: cannot read the log: No such file"),
    ("--protocol holdout-file --holdout LOG/items.jsonl", "items.jsonl:1: no session to complete: $: "),
    ("--protocol holdout-file --fit --holdout LOG/events.jsonl", "events.jsonl:1: no session to complete: $: "),
    ("--protocol rerank", "nothing to score: no impression whose $.request_id a later signal has"),
    ("--protocol rerank --mask-history", "--mask-history: rerank ranks what was shown"),
    ("--protocol prequential --fit", "--fit: prequential predicts from the first event on: give it a --split"),
    ("--protocol rerank --fit", "--fit: rerank scores from the first event on: give it a --split"),
    ("--sources nope", "sources: no candidate source 'nope': choose from repeat, "),
    ("--sources repeat,repeat", "sources: a candidate source is named twice"),
    ("--sources ,", "--sources: names no source"),
    ("--min-count 1000000", "no case is left: choose a larger --sample or a smaller --min-count"),
    ("--config missing.toml", "missing.toml"),
    *((f"--protocol {name} --strict", "--strict: only holdout-last") for name in PROTOCOLS if "holdout" not in name),
    *((f"--protocol {name} --holdout f", "--holdout: only holdout-file") for name in PROTOCOLS if name[-4:] != "file"),
]


@pytest.mark.parametrize(("options", "said"), WRONG, ids=[options for options, _ in WRONG])
def test_a_wrong_option_is_one_sentence(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: str, said: str
) -> None:
    path = tmp_path / "result.json"
    assert run(["simulate", str(log), "--json", str(path), *options.replace("LOG", str(log)).split()]) == 2
    (sentence,) = [
        line for line in capsys.readouterr().err.splitlines() if line.startswith(("streamrank: ", "Error: "))
    ]
    assert said in sentence
    assert list(tmp_path.iterdir()) == []


def files_of(folder: Path, events: bytes, items: bytes = b"", name: str = "events.jsonl") -> Path:
    folder.mkdir()
    (folder / name).write_bytes(events)
    (folder / "items.jsonl").write_bytes(items)
    return folder


CLICKS = b"".join(click(f"u{n % 9}", f"i{n * 7919 % 999}", n) + b"\n" for n in range(999))
FILES = [
    (CLICKS, b'{"title": "no id"}\n', "events.jsonl", "items.jsonl:1: no item: $: "),
    (CLICKS, b"item_id,title\n", "events.jsonl", "items.jsonl:1: no item: $: not JSON"),
    (b"", b"", "events.jsonl", "events.jsonl: holds no event: is it an event log"),
    (b'{"item_id": "a"}\n', b"", "events.jsonl", "events.jsonl: holds no event (.*:1: left out, no event: "),
    (b"user,item\n1,2\n", b"", "events.jsonl", "holds no event (.*events.jsonl:1: left out, no event: $: not JSON"),
    (gzip.compress(CLICKS)[:2_000], b"", "events.jsonl.gz", "the gzip data is cut or damaged: make the file again"),
    (b"PAR1nonsense", b"", "events.jsonl.parquet", "events.jsonl.parquet:1: the Parquet data is cut or damaged"),
    (CLICKS, b"", "clicks.jsonl", "no events.jsonl in this folder"),
    (CLICKS, b"", "events.jsonl", "nothing to predict: no purchase at or after the split"),
]


@pytest.mark.parametrize(("events", "items", "name", "said"), FILES, ids=[said[:40] for *_, said in FILES])
def test_a_wrong_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: bytes, items: bytes, name: str, said: str
) -> None:
    path = tmp_path / "result.json"
    assert run(["simulate", str(files_of(tmp_path / "log", events, items, name)), "--json", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    before, _, behind = said.partition(".*")
    assert before in error
    assert behind in error
    assert not path.exists()


def test_a_result_that_cannot_be_written_leaves_the_old_one(log: Path, tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "result.json"
    assert run(["simulate", str(log), "--json", str(path)]) == 2
    old = tmp_path / "result.json"
    old.write_text("old")
    assert run(["simulate", str(log), "--sources", "nope", "--json", str(old)]) == 2
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
