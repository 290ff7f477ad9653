"""What README and docs name is there, and what they say of numbers is what the code says."""

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from streams.cli import VERBS
from streams.contracts import events as ev
from streams.features import user
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
EVENTS = (ROOT / "docs" / "events.md").read_text("utf-8")
QUOTED = set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README + EVENTS, flags=re.DOTALL)))
PATHS = sorted(name for name in QUOTED if re.fullmatch(r"[\w/.-]+(\.py|\.md|/)", name) and not name.startswith("runs/"))
WITHIN = ("", "streams", "streams/agents")
"""Where the walk through the code names files from."""


@pytest.mark.parametrize("name", PATHS)
def test_every_file_is_there(name: str) -> None:
    assert any((ROOT / folder / name).exists() for folder in WITHIN)


def test_files_are_named() -> None:
    assert len(PATHS) > 25


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README + EVENTS))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).is_file()


def test_every_verb_is_one() -> None:
    named = set(re.findall(r"streamrank (?=[a-z])(\w+)", "\n".join(QUOTED) + README))
    assert {"up", "replay", "import", "topics", "worker", "doctor", "schema"} <= named
    assert named <= set(VERBS)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("_FOLDS", "streams/features/user.py"),
        ("FOLD_VERSION", "streams/features/user.py"),
        ("FEATURES", "inference/tensors.py"),
        ("def default_sources", "streams/retrieval/blend.py"),
        ("class Ranker", "inference/ranker.py"),
        ("FORMATS", "streams/imports/__init__.py"),
    ],
)
def test_what_is_to_be_extended_is_where_it_is_said_to_be(name: str, path: str) -> None:
    assert re.search(rf"^{re.escape(name)}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_each_event_is_explained() -> None:
    explained = {
        name for row in re.findall(r"^\| (`.*?) \|", EVENTS, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    public = set(get_args(ev.UserEvent)) - {ev.Absorb}
    assert explained == {msgspec.inspect.type_info(kind).tag for kind in public}


def test_bounds_are_those_of_the_code() -> None:
    for sentence in (
        f"at most {user.MAX_ITEMS:,} items, {user.MAX_CART} in the cart, {user.MAX_QUERIES} queries",
        f"away for {user.EXPIRES_AFTER_MS // 86_400_000} days",
        f"the user's next {user.MAX_SEEN} events",
    ):
        assert sentence in EVENTS
    assert Settings.model_fields["max_future_ms"].default == 86_400_000
    assert "more than a day" in EVENTS
