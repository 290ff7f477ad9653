"""Lists come back from a shard as they were; one that is cut, damaged or of another contract is one sentence."""

import errno
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

import training.shards
from inference.tensors import FEATURES, HEADS, HISTORY, RANKER_INPUTS, SEEDS
from streams.errors import Misuse
from training.dataset import Dataset
from training.lists import Lists, joined
from training.shards import COLUMNS


@pytest.fixture(scope="module")
def lists(dataset: Dataset) -> Lists:
    return dataset.whole("train")


def same(one: Lists, other: Lists) -> bool:
    for field in fields(Lists):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if (a is None) != (b is None) or (a is not None and (a.dtype != b.dtype or not np.array_equal(a, b))):
            return False
    return True


def test_lists_come_back_as_they_were(lists: Lists, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    candidates = len(lists.item_ids)
    judged = replace(lists, teacher=generator.normal(size=(candidates, len(HEADS))).astype(np.float32))
    shown = replace(
        lists,
        position=np.arange(candidates, dtype=np.int32),
        propensity=generator.random(candidates).astype(np.float32),
    )
    for written in (lists, judged, shown):
        written.save(tmp_path / "shard.parquet")
        assert same(Lists.load(tmp_path / "shard.parquet"), written)


def test_no_lists_and_lists_without_candidates_come_back(lists: Lists, tmp_path: Path) -> None:
    none = Lists(**{field.name: None for field in fields(Lists)} | {
        name: np.zeros((0, *column.shape), column.dtype)
        for name, column in COLUMNS.items() if not column.optional
    } | {"offsets": np.zeros(1, np.int64)})  # type: ignore[arg-type]  # fmt: skip
    none.save(tmp_path / "none.parquet")
    assert same(Lists.load(tmp_path / "none.parquet"), none)
    assert same(joined([none, lists, none]), lists)
    two = {name: getattr(lists, name)[:2] for name, column in COLUMNS.items() if not column.ragged}
    empty = replace(none, **two, offsets=np.zeros(3, np.int64))
    empty.save(tmp_path / "empty.parquet")
    assert same(Lists.load(tmp_path / "empty.parquet"), empty)


def test_a_row_is_a_list_with_the_names_and_shapes_of_the_contract(lists: Lists, tmp_path: Path) -> None:
    lists.save(tmp_path / "shard.parquet")
    rows = parquet.read_table(tmp_path / "shard.parquet").to_pylist()
    assert len(rows) == len(lists)
    assert {tensor.name for tensor in RANKER_INPUTS} <= set(rows[0])
    row, size = rows[1], int(np.diff(lists.offsets)[1])
    assert np.shape(row["features"]) == (size, len(FEATURES))
    assert np.shape(row["pairs"]) == (size, 2 * SEEDS)
    assert np.shape(row["item_ids"]) == np.shape(row["depth"]) == (size,)
    assert (len(row["seeds"]), len(row["history_ids"])) == (SEEDS, HISTORY)
    assert row["item_ids"] == lists.item_ids[lists.offsets[1] : lists.offsets[2]].tolist()
    assert parquet.ParquetFile(tmp_path / "shard.parquet").num_row_groups == 1


def test_the_same_lists_are_the_same_bytes(lists: Lists, tmp_path: Path) -> None:
    for name in ("a", "b"):
        lists.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_cut_or_damaged_shard_is_one_sentence(lists: Lists, tmp_path: Path) -> None:
    path = tmp_path / "train-0000.parquet"
    lists.save(path)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged in (b"", whole[:1_000], whole[: middle + middle // 2], whole[:-1],
                    whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(Misuse, match=r"train-0000\.parquet: cannot read the shard: [^\n]*$"):
            Lists.load(path)
    with pytest.raises(Misuse, match=r"none\.parquet: cannot read the shard"):
        Lists.load(tmp_path / "none.parquet")


def test_another_contract_and_another_table_are_refused(
    lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shard.parquet"
    with monkeypatch.context() as patched:
        patched.setattr(training.shards, "contract", lambda: "features a b c")
        lists.save(path)
    with pytest.raises(Misuse, match="was made with another tensor contract"):
        Lists.load(path)
    lists.save(path)
    table = parquet.read_table(path)
    parquet.write_table(table.drop_columns(["depth"]), path)
    with pytest.raises(Misuse, match="column `depth` is missing"):
        Lists.load(path)
    parquet.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(Misuse, match="no shard of lists"):
        Lists.load(path)


def test_a_full_disk_leaves_nothing(lists: Lists, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(table: Any, path: Path, **options: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(training.shards.parquet, "write_table", full)
    with pytest.raises(Misuse, match=r"shard\.parquet: cannot write the shard: No space left on device"):
        lists.save(tmp_path / "shard.parquet")
    assert not list(tmp_path.iterdir())
