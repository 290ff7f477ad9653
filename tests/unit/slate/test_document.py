"""What docs/explore.md says of the settings is what they are."""

import re
from pathlib import Path

from streams.settings import Settings, load_settings
from streams.slate.explore import Exploration

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "explore.md").read_text("utf-8")


def test_the_example_is_a_settings_file_of_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "explore.toml"
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    path.write_text(block)
    settings = load_settings(path)
    named = {name for name in Settings.model_fields if name.startswith("explore_")}
    assert settings.model_fields_set == named
    assert set(re.findall(r"^\| `(explore_\w+)` \|", TEXT, re.MULTILINE)) == named


def test_exploration_is_off_and_its_defaults_are_those_of_the_settings() -> None:
    fields, plain = Settings.model_fields, Exploration()
    assert plain == Exploration(
        *(fields[f"explore_{name}"].default for name in ("share", "temperature", "bonus", "off"))
    )
    assert plain.share == 0
    for name in ("temperature", "bonus"):
        assert f"explore_{name} = {fields[f'explore_{name}'].default}" in TEXT


def test_files_and_links_are_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / link).exists(), link
