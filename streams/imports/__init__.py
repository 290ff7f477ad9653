"""Importers: data sets as event and item logs. One file an importer, and its line in FORMATS."""

from streams.imports import complete_journey, metarank, open_bandit, rees46, sequences, sessions, table
from streams.imports.base import Format, Line, Selection, write_folder

FORMATS: dict[str, Format] = {
    "complete-journey": complete_journey.FORMAT,
    "metarank": metarank.FORMAT,
    "open-bandit": open_bandit.FORMAT,
    "rees46": rees46.FORMAT,
    "sequences": sequences.FORMAT,
    "sessions": sessions.FORMAT,
    "table": table.FORMAT,
}
"""By the name on the command line."""

__all__ = ["FORMATS", "Format", "Line", "Selection", "write_folder"]
