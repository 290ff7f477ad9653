"""A simulation on a small log whose ids and titles are those of somebody who wants to break out of a page."""

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from streams.evaluation.protocols import Chosen
from streams.evaluation.report import Told, page
from streams.evaluation.run import Asked
from streams.evaluation.simulation import Simulation, simulate
from tests.unit.building import DAY, T0, RowRanker, settings, wire

SCRIPT = "<script>alert(1)</script>"
QUOTES = "\"' onload=alert(2) x='"
ITEMS = [
    SCRIPT,
    QUOTES,
    "</title></style><img src=http://evil.test/x>",
    "$title ${parts}",
    "a&amp;b",
    "plain",
    "\u202efdp",
]
USERS = [f"<b onclick='alert(3)'>u{n}</b>" for n in range(12)]
HOSTILE = Told(f"streamrank simulate '{SCRIPT}'", {"k": 3, "folder": QUOTES})


def write_log(folder: Path, days: int = 6, step_ms: int = DAY) -> Path:
    """Write a folder as `streamrank import` makes it: every user buys an item a day; titles are as bad as ids."""
    folder.mkdir(parents=True, exist_ok=True)
    events = [
        wire("purchase", user, T0 + day * step_ms + n, item_id=ITEMS[(n * day + day) % len(ITEMS)], order_id=f"o{day}")
        for day in range(days)
        for n, user in enumerate(USERS)
    ]
    (folder / "events.jsonl").write_bytes(b"\n".join(events))
    items = [{"item_id": item, "title": f"Title of {item}", "category": [item]} for item in ITEMS]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, items)))
    return folder


def simulated(protocol: str = "prequential", step_ms: int = DAY, **chosen: bool) -> Simulation:
    """Return what came of a run over that log, with a ranker that scores all."""
    with TemporaryDirectory() as folder:
        log = write_log(Path(folder) / f"log {SCRIPT.replace('/', '')}", step_ms=step_ms)
        return simulate(log, settings(), protocol, Chosen(**chosen), Asked(k=3, seed=5), ranker=RowRanker())


@cache
def simulated_once() -> Simulation:
    """Return the run that `hostile_page` reports."""
    return simulated()


@cache
def hostile_page() -> str:
    """Return its report."""
    return page(simulated_once(), HOSTILE)
