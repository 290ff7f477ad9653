"""Importers: data sets as event and item logs. One file an importer, and its line in FORMATS."""

from streams.imports import complete_journey
from streams.imports.base import Format, Line, Selection, write_folder

FORMATS: dict[str, Format] = {
    "complete-journey": complete_journey.FORMAT,
}
"""By the name on the command line."""

__all__ = ["FORMATS", "Format", "Line", "Selection", "write_folder"]
