"""The README's own blocks, run as they stand there, beside a running `streamrank up`."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.settings import Settings
from tests.integration.processes import catalogue
from tests.support import wait_until

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- run: (?P<name>\w+) -->\n```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = {
    match["name"]: (match["language"], match["code"]) for match in BLOCK.finditer((ROOT / "README.md").read_text())
}
UP_S, ANSWER_S = 90.0, 60.0


def start(name: str, folder: Path) -> subprocess.Popen[str]:
    """Run a block in `folder`, its output into `<name>.log` there."""
    language, code = BLOCKS[name]
    command = ["bash", "-euc", code] if language == "sh" else [sys.executable, "-c", code]
    return run(command, folder, name)


def run(command: list[str], folder: Path, name: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STREAMRANK_")}
    with (folder / f"{name}.log").open("w") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=log, stderr=subprocess.STDOUT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder like a fresh checkout, in which `streamrank up` runs."""
    folder = tmp_path_factory.mktemp("check out")
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    up = run([".venv/bin/streamrank", "up"], folder, "up")
    try:
        wait_until(lambda: "Ctrl-C ends them" in (folder / "up.log").read_text(), UP_S, "streamrank up")
        yield folder
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(40) in (0, 130), (folder / "up.log").read_text()


def test_a_second_terminal_publishes_and_sees_the_slate(folder: Path) -> None:
    consumer = start("consume", folder)
    try:
        publisher = start("publish", folder)
        assert publisher.wait(ANSWER_S) == 0, (folder / "publish.log").read_text()
        seen = folder / "consume.log"
        wait_until(lambda: "r-77 " in seen.read_text(), ANSWER_S, "the slate of r-77")
        (line,) = (line for line in seen.read_text().splitlines() if line.startswith("r-77 "))
        assert "sku-2" in line, f"u41 went from sku-1 to sku-2, so u42 should see it: {line}"
        redis_url = json.loads((folder / "runs/up/addresses.json").read_text())["redis_url"]
        items = {"sku-1", "sku-2", "sku-3"}
        wait_until(lambda: items <= set(catalogue(Settings(redis_url=redis_url))), ANSWER_S, "the catalogue")
    finally:
        consumer.kill()
        consumer.wait()


def test_replay_publishes_a_log(folder: Path) -> None:
    replay = start("replay", folder)
    said = replay.wait(120), (folder / "replay.log").read_text()
    assert said[0] == 0, said[1]
    published = dict(re.findall(r"^(\w+): ([\d,]+) published in", said[1], re.MULTILINE))
    assert set(published) == {"items", "events"}, said[1]
    assert "0" not in published.values()


def test_the_ranker_is_swapped_by_hand_and_back(folder: Path) -> None:
    swap = start("swap", folder)
    said = swap.wait(90), (folder / "swap.log").read_text()
    assert said[0] == 0, said[1]
    (last,) = re.findall(r"ranker, revision 4.*", said[1], re.DOTALL)
    assert re.search(r"1\W+champion", last), said[1]
    assert re.search(r"2\W+rolled back", last), said[1]
    assert "1 of 1 workers" in last


def test_simulate_measures_slates_beside_what_is_simple(folder: Path) -> None:
    simulate = start("simulate", folder)
    said = simulate.wait(150), (folder / "simulate.log").read_text()
    assert said[0] == 0, said[1]
    for row in ("streamrank", "popular", "most_frequent", "cooccurrence", "heuristic", "ceiling"):
        assert re.search(rf"^\s*{row} .*0\.\d", said[1], re.MULTILINE), f"{row}: {said[1]}"
