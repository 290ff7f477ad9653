"""A data set is made once, by any number of processes to the same bytes, and never used half-made."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import training.cache
import training.dataset
from streams.errors import Misuse, StreamrankError
from streams.evaluation.protocols import Chosen
from streams.evaluation.protocols.hidden import Hidden
from streams.evaluation.protocols.prequential import Prequential
from tests.training.conftest import LIMITS, RECIPE, lists_of, shop, write_log
from tests.unit.building import settings
from training.cache import key_of
from training.dataset import META_FILE, Dataset, build
from training.lesson import Lesson
from training.lists import Lists
from training.recipe import Cleaning
from training.recording import Recorder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def no_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("the log is walked again")

    monkeypatch.setattr(training.dataset.Walk, "record", refuse)


def test_any_number_of_processes_makes_the_same_bytes(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.splits.LISTS", 32)  # several shards each
    made = [files(lists_of(log, tmp_path / str(n), processes=n).folder) for n in (1, 2, 5)]
    assert len(made[0]) == 5 + 2 + 2
    assert made[0] == made[1] == made[2]


def test_a_data_set_that_was_made_is_found_again(
    log: Path, dataset: Dataset, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first = lists_of(log, tmp_path)
    request.getfixturevalue("no_walk")
    again = lists_of(log, tmp_path, processes=2)
    assert (again.folder, again.meta) == (first.folder, first.meta)
    assert again.sequences.items.tolist() == first.sequences.items.tolist()
    assert again.meta["key"] == first.folder.name == dataset.folder.name


def test_whatever_shapes_a_list_is_in_the_key(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = []

    def note(place: Path, key: str, *arguments: Any) -> Path:
        keys.append(key)
        raise StopIteration

    def called(folder: Path = log, recipe: Any = RECIPE, of: Chosen | None = None, **chosen: Any) -> None:
        with pytest.raises(StopIteration):
            build(Lesson(folder, "prequential", of), tmp_path, settings(**chosen), recipe)

    monkeypatch.setattr(training.dataset, "kept", note)
    called()
    called(write_log(tmp_path / "log", shop()[:-1]))
    called(recipe=replace(RECIPE, seed=9))
    called(recipe=replace(RECIPE, limits=replace(LIMITS, negatives=3)))
    called(recipe=replace(RECIPE, cleaning=Cleaning(repeat_ms=1_000)))
    called(candidates=50)
    called(sources=("popular",))
    for hidden in (Chosen(hide=0.1), Chosen(hide=0.2), Chosen(hide=0.1, seed=2)):
        called(of=hidden)
    with monkeypatch.context() as patched:
        patched.setattr(training.dataset, "contract", lambda: "another")
        called()
    with monkeypatch.context() as patched:
        patched.setattr(training.cache, "_code_sha256", lambda: "another")
        called()
    assert len(set(keys)) == len(keys)
    called(recipe=replace(RECIPE, fit=replace(RECIPE.fit, epochs=99)))
    assert keys[-1] == keys[0]
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_a_half_made_one_is_never_used(log: Path, dataset: Dataset, tmp_path: Path) -> None:
    """What an earlier run left unfinished is removed, and made anew."""
    unfinished = tmp_path / f".{dataset.folder.name}.new"
    unfinished.mkdir()
    (unfinished / "train-0007.parquet").write_bytes(b"half")
    made = lists_of(log, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [made.folder.name]
    assert files(made.folder) == files(dataset.folder)


def test_a_full_disk_leaves_nothing_that_looks_whole(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(training.dataset.Sequences, "save", full)
        with pytest.raises(Misuse, match=f"{tmp_path}: cannot keep a data set here: No space left on device"):
            lists_of(log, tmp_path)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    with monkeypatch.context() as patched:
        patched.setattr("training.shards.parquet.write_table", full)
        for processes in (1, 2):
            with pytest.raises(Misuse, match=r"train-0000\.parquet: cannot write the shard: No space"):
                lists_of(log, tmp_path, processes=processes)
    assert len(lists_of(log, tmp_path).whole("train")) > 100


def test_what_went_missing_afterwards_is_one_sentence(log: Path, tmp_path: Path) -> None:
    made = lists_of(log, tmp_path)
    shard = made.paths("train")[0]
    whole = shard.read_bytes()
    shard.unlink()
    with pytest.raises(Misuse, match="shards are missing: remove the folder"):
        lists_of(log, tmp_path)
    shard.write_bytes(whole[:-100])
    with pytest.raises(Misuse, match=r"train-0000\.parquet: cannot read the shard"):
        Lists.load(lists_of(log, tmp_path).paths("train")[0])
    (made.folder / META_FILE).write_text("{")
    with pytest.raises(Misuse, match=r"dataset\.json: cannot be read: remove the folder"):
        lists_of(log, tmp_path)


def test_a_process_that_ends_is_one_sentence(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, take = os.getpid(), Recorder.take

    def end(self: Recorder, shard: str) -> Lists:
        if os.getpid() != here:
            os._exit(9)
        return take(self, shard)

    monkeypatch.setattr(Recorder, "take", end)
    with pytest.raises(StreamrankError, match="a process that walked the log ended"):
        lists_of(log, tmp_path, processes=2)
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".")]


def test_what_it_is_made_of_is_in_its_file(dataset: Dataset) -> None:
    meta = json.loads((dataset.folder / META_FILE).read_text())
    assert meta == dataset.meta
    assert {"sha256", "items_sha256", "protocol", "limits", "cleaning", "seed", "fold", "contract", "left_out"} <= set(
        meta
    )


def test_what_is_hidden_is_in_no_catalogue_that_is_learned_from(log: Path) -> None:
    hidden = Hidden(Prequential(Chosen()), 0.3, 1)
    whole, without = ({item.item_id for item in Lesson(log, "prequential", chosen).items()} for chosen in (
        Chosen(), Chosen(hide=0.3, seed=1)
    ))  # fmt: skip
    assert without < whole
    assert whole - without == set(filter(hidden.hides, whole))
