"""A real browser without a window: Debian's Chromium, started anew for every look at a page."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 60

Look = Callable[..., tuple[str, list[str]]]
"""Open a page with more arguments; return its DOM and what it wrote on the console."""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the browser; a missing one fails."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "tests/browser needs Chromium: apt-get install chromium"
    return found


@pytest.fixture
def look(chromium: str, tmp_path: Path) -> Look:
    def opened(page: Path, *arguments: str) -> tuple[str, list[str]]:
        # Root needs --no-sandbox; the page is ours, and has a profile of its own.
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", *arguments, page.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
        return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]

    return opened
