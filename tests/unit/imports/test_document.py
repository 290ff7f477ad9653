"""What docs/importers.md says can be done: each example in it runs, and its tables are complete."""

import json
import re
import runpy
from pathlib import Path

import msgspec
import pytest

from streams.event_log import EVENTS, ITEMS, REJECTS
from streams.imports import FORMATS, Selection, metarank, open_bandit, rees46, write_folder
from streams.imports.base import FILES
from streams.imports.table import MAPPINGS, TableMapping

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "importers.md").read_text("utf-8")
PATHS = sorted(set(re.findall(r"`((?:streams|tests|docs)/[\w/.-]+)`", TEXT)))


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def keys(table: str) -> set[str]:
    """Return the names in the first column of the table whose head begins with `table`."""
    rows = TEXT.split(f"| {table} |")[1].split("\n\n")[0].splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}


@pytest.mark.parametrize("path", PATHS)
def test_every_file_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_format_and_mapping_has_its_part() -> None:
    assert sorted(re.findall(r"^### `([\w-]+)`$", TEXT, re.MULTILINE)) == sorted(FORMATS)
    assert set(FORMATS) <= set(re.findall(r"^streamrank import ([\w-]+) ", TEXT, re.MULTILINE))
    assert keys("`--mapping`") == set(MAPPINGS)
    assert keys("file in DIR") == set(FILES)


def test_every_key_of_a_mapping_is_explained() -> None:
    event, item = (field.type for field in msgspec.structs.fields(TableMapping))
    assert keys("key of `[event]`") == {field.name for field in msgspec.structs.fields(event)}
    assert keys("key of `[item]`") == {field.name for field in msgspec.structs.fields(item)}


def test_what_other_logs_call_things_is_told_in_full() -> None:
    names = {*metarank.SIGNALS, *metarank.SIGNALS.values(), *rees46.TYPES, *rees46.TYPES.values()}
    columns = {*rees46.COLUMNS, *open_bandit.COLUMNS}
    assert {*names, *columns} <= set(re.findall(r"`([^`\n]+)`", TEXT))


def test_the_example_of_a_mapping_gives_the_lines_that_are_shown(tmp_path: Path) -> None:
    mapping, source, folder = (tmp_path / name for name in ("shop.toml", "shop.csv", "made"))
    mapping.write_text(block("toml"))
    source.write_text(block("csv"))
    counts = write_folder(FORMATS["table"].read(str(source), Selection(mapping=str(mapping))), folder)
    assert (folder / EVENTS).read_text() + (folder / ITEMS).read_text() == block("json")
    assert counts[REJECTS] == 1


def test_the_example_of_an_importer_is_one(tmp_path: Path) -> None:
    source, importer = tmp_path / "clicks.csv", tmp_path / "house.py"
    importer.write_text(block("python"))
    source.write_text("u1,a\nu2\nu1,b\n")
    counts = write_folder(runpy.run_path(str(importer))["FORMAT"].read(str(source), Selection()), tmp_path / "made")
    assert (counts[EVENTS], counts[REJECTS], counts["no item"]) == (2, 1, 1)
    assert json.loads((tmp_path / "made" / REJECTS).read_text())["reason"] == "no item"
