"""The Open Bandit Dataset (Saito et al., 2021): impressions on ZOZOTOWN with clicks and propensities of two policies.

A row is one position of a slate of three, and becomes a record of feedback with that one item: the data doesn't say
which rows were one slate. `propensity_score` is the chance of the item at its position, whatever the other two are.
There are no users in it, so each row has one of its own; features of users stay behind. Rows are sorted by time.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from streams.errors import Misuse
from streams.event_log import FEEDBACK, ITEMS
from streams.imports.base import Format, Line, Selection
from streams.imports.rows import read_rows

COLUMNS = ("timestamp", "item_id", "position", "click", "propensity_score")
CONTEXT = "item_context.csv"
"""The file of the items; the other CSV file of the folder is the log."""


def read(source: str | None, selection: Selection) -> Iterator[Line]:
    """Read a folder of one policy and campaign.

    Raises:
        Misuse: the folder has other files, or they have other columns.
    """
    selection.refuse("open-bandit")
    if source is None:
        raise Misuse("open-bandit needs SRC, a folder with a CSV file of the log, and item_context.csv")
    log, context = _files(Path(source))
    for _, row in read_rows(context, ("item_id",)):
        features = {name: value for name, value in row.items() if name.startswith("item_feature") and value}
        yield Line(ITEMS, {"item_id": row["item_id"], "attributes": features})
    records: list[tuple[int, dict[str, Any]]] = []
    for number, row in read_rows(log, COLUMNS):
        try:
            record = _record(number, row)
        except (TypeError, ValueError):
            yield Line(FEEDBACK, row, "timestamp, position, click or propensity_score is none")
            continue
        records.append((record["at_ms"], record))
    for _, record in sorted(records, key=lambda pair: pair[0]):
        yield Line(FEEDBACK, record)


def _files(folder: Path) -> tuple[Path, Path]:
    files = sorted(folder.glob("*.csv*"))
    contexts = [path for path in files if path.name.startswith(CONTEXT)]
    logs = [path for path in files if path not in contexts]
    if len(contexts) != 1 or len(logs) != 1:
        found = ", ".join(path.name for path in files) or "no CSV file"
        raise Misuse(f"{folder}: SRC is a folder with one CSV file of the log and {CONTEXT}; there is {found}")
    return logs[0], contexts[0]


def _record(number: int, row: Any) -> dict[str, Any]:
    """Return a row as a record of feedback.

    Raises:
        TypeError, ValueError: a cell is empty or no number.
    """
    at_ms = round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000)
    shown = {
        "item_id": row["item_id"],
        "position": int(row["position"]) - 1,
        "propensity": float(row["propensity_score"]),
        "features": [],
        "pairs": [],
        "item_code": [],
    }
    if int(row["click"]):
        shown |= {"outcome": "click", "outcome_ms": at_ms}
    return {
        "type": "feedback",
        "feedback_id": f"0-0-{number}-0",
        "slate_id": f"0-0-{number}",
        "request_id": None,
        "user_id": f"row-{number}",
        "at_ms": at_ms,
        "items": [shown],
        "seeds": [],
        "history_ids": [],
        "history_codes": [],
    }


FORMAT = Format("a folder of the Open Bandit Dataset: feedback for `streamrank evaluate`", read)
