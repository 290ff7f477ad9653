"""Folders on a file system: what a model's folder holds, whatever interrupts those who change it."""

import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from inference.repository import ModelFolder, install, versions
from inference.source import staged
from streams.errors import Misuse, Unreachable
from tests.support import write_tiny_ranker, write_version


def folder_of(tmp_path: Path) -> ModelFolder:
    write_tiny_ranker(tmp_path / "models")
    return ModelFolder(tmp_path / "models", "ranker")


def test_a_version_moves_between_the_shelf_and_what_is_served(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    folder.add(write_version(tmp_path / "new", 2, seed=2), 2)
    assert (versions(folder.served), versions(folder.shelf), folder.where(2)) == ([1], [2], folder.shelf)
    folder.bring_in(2)
    assert (versions(folder.served), versions(folder.shelf), folder.where(2)) == ([1, 2], [], folder.served)
    folder.take_out(2)
    folder.discard(2)
    assert (versions(folder.served), versions(folder.shelf), folder.where(2)) == ([1], [], None)


def test_what_a_killed_copy_left_is_no_version_and_in_nobodys_way(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    half = folder.shelf / ".2.new"
    half.mkdir()
    (half / "model.onnx").write_bytes(b"half")
    assert versions(folder.shelf) == []
    folder.add(write_version(tmp_path / "new", 2, seed=2), 2)
    assert versions(folder.shelf) == [2]
    assert not half.exists()


def test_a_repository_without_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match=r"no ranker/config\.pbtxt"):
        ModelFolder(tmp_path, "ranker")


def test_only_one_at_a_time_changes_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path)
    script = (
        "import sys, pathlib; from inference.repository import ModelFolder\n"
        "with ModelFolder(pathlib.Path(sys.argv[1]), 'ranker').alone():\n"
        "    print('mine', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "models")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        monkeypatch.setattr("inference.repository.LOCK_S", 0.1)
        with pytest.raises(Unreachable, match="keeps it locked"), folder.alone():
            pass
        other.kill()
    with folder.alone():
        assert versions(folder.served) == [1]


def test_a_source_is_a_folder_or_a_url(tmp_path: Path) -> None:
    place = write_version(tmp_path / "with a space", 2, seed=2)
    memory = fsspec.filesystem("memory")
    memory.put(f"{place}/", "/bucket/ranker/9/", recursive=True)
    for source in (str(place), f"file://{place}", "memory://bucket/ranker/9", "memory://bucket/ranker/9/"):
        with staged(source, 5) as folder:
            copied = {path.name: path.read_bytes() for path in (folder / "5").iterdir()}
        assert copied == {path.name: path.read_bytes() for path in place.iterdir()}
        assert not folder.exists()


@pytest.mark.parametrize("source", ["/no/such/folder", "memory://no/such/folder", "file:///no/such/folder"])
def test_a_source_that_is_not_there_is_refused_by_its_name(source: str) -> None:
    with pytest.raises(Misuse, match=source), staged(source, 5):
        pass


def test_a_store_that_cannot_be_read_says_so() -> None:
    with pytest.raises(Unreachable, match="nonsense://bucket/7"), staged("nonsense://bucket/7", 5):
        pass


def test_a_copied_folder_is_whole(tmp_path: Path) -> None:
    place = write_version(tmp_path / "source", 2, seed=2)
    (place / "more" / "deep").mkdir(parents=True)
    (place / "more" / "deep" / "file").write_text("x")
    target = install(place, tmp_path)
    assert (target / "more" / "deep" / "file").read_text() == "x"
