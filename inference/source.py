"""Where a version is published from: a folder, or a folder behind any URL that fsspec knows, as s3://bucket/ranker/7."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import MissingServer, Misuse, Unreachable


@contextmanager
def staged(source: str, version: int) -> Iterator[Path]:
    """Yield a folder that holds a copy of `source` under the name of the version, for the length of the block.

    What is judged is then what is published, whatever becomes of the source meanwhile.

    Raises:
        Misuse: there is no such folder.
        Unreachable: it can't be read.
    """
    with tempfile.TemporaryDirectory(prefix="streamrank-version-") as folder:
        target = Path(folder) / str(version)
        if "://" in source:
            _fetch(source, target)
        else:
            _copy(Path(source), target)
        yield Path(folder)


def _copy(source: Path, target: Path) -> None:
    if not source.is_dir():
        raise Misuse(f"{source}: there is no such folder; name the folder of a version, as runs/train/ranker/2")
    try:
        shutil.copytree(source, target)
    except (OSError, shutil.Error) as exc:
        raise Unreachable(f"{source}: it cannot be read: {exc}") from exc


def _fetch(source: str, target: Path) -> None:
    try:
        import fsspec
    except ImportError as exc:
        raise MissingServer(f"{source} needs the package fsspec: pip install 'streamrank[remote]'") from exc
    try:
        files, path = fsspec.core.url_to_fs(source)
        if not files.isdir(path):
            raise Misuse(f"{source}: there is no such folder")
        files.get(path.rstrip("/") + "/", f"{target}/", recursive=True)
    except Misuse:
        raise
    except Exception as exc:  # each of fsspec's stores has errors of its own
        raise Unreachable(f"{source}: it cannot be read: {exc}") from exc
