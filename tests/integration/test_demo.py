import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from streams.demo.account import Account, Bookkeeper
from streams.demo.faults import KINDS
from streams.demo.stream import MALFORMED, REPEATED
from streams.embedded.process import group
from tests.integration.conftest import RunningStack
from tests.integration.processes import clicks, own_settings, publish, worker
from tests.support import wait_until

END_S = 120.0
FEW = ("--households", "30", "--weeks", "1", "--rate", "25")


def _command(models: Path, run_dir: Path, *options: str) -> list[str]:
    folders = ("--models", str(models), "--run-dir", str(run_dir))
    return [sys.executable, "-m", "streams.cli", "demo", *folders, *options]


@pytest.fixture(scope="module")
def demo(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One small demo, run to its end."""
    folder = tmp_path_factory.mktemp("demo")
    command = _command(models, folder / "run", *FEW, "--json", str(folder / "copy.json"))
    return subprocess.run(command, capture_output=True, text=True, timeout=END_S), folder


@pytest.fixture(scope="module")
def report(demo: tuple[subprocess.CompletedProcess[str], Path]) -> dict[str, Any]:
    done, folder = demo
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text())
    return content


def test_nothing_is_lost_and_every_event_is_accounted_for(report: dict[str, Any]) -> None:
    events = report["events"]
    assert events["lost"] == 0
    assert events["dead_letters"] == report["injected"]["malformed"] == MALFORMED
    assert events["duplicates_dropped"] == report["injected"]["repeated"] == REPEATED
    assert events["published"] == events["applied"] + events["dead_letters"] + events["duplicates_dropped"] > 0
    assert len(report["injected"]["kinds"]) == len(KINDS)


def test_every_request_is_answered(report: dict[str, Any]) -> None:
    slates = report["slates"]
    assert slates["requested"] == slates["served"] == sum(slates["by"].values()) > 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["throughput"]["ingest_events_s"] > 0


def test_the_ranker_is_swapped_in_mid_stream(report: dict[str, Any]) -> None:
    swap = report["swap"]
    assert (swap["from"], swap["to"]) == (1, 2)
    assert swap["failed_requests"] == 0
    assert 0 < swap["p99_before_ms"]
    assert 0 < swap["p99_during_ms"]
    assert swap["requests_during"] > 0


def test_what_the_shopper_does_is_joined_with_its_slates(report: dict[str, Any]) -> None:
    loop, slates = report["loop"], report["slates"]
    assert "a model of a shopper, not from people" in loop["protocol"]
    assert loop["impressions"] == slates["served"]
    assert 0 < loop["clicks"] < loop["seen"] < 10 * loop["impressions"]
    assert 0 <= loop["unjoined"] < loop["impressions"] / 2
    assert loop["feedback_records"] > slates["served"] / 2


def test_the_learner_learns_every_record_that_was_seen_and_has_a_say(report: dict[str, Any]) -> None:
    loop = report["loop"]
    assert loop["learner_records"] + loop["unseen_records"] == loop["feedback_records"]
    assert loop["learner_records"] > report["slates"]["served"] / 2
    assert set(loop["log_loss"]) == {"ranker", "online", "blend"}
    assert all(loss > 0 for loss in loop["log_loss"].values())
    assert loop["learner_version"] > 0
    assert 0 < loop["blended_slates"] <= report["slates"]["served"]


def test_three_policies_are_compared(report: dict[str, Any]) -> None:
    quality = report["quality"]
    for policy in ("streamrank", "popular", "personal_frequency"):
        assert set(quality[policy]) == {"hit_rate", "recall", "ndcg"}
        assert all(0 <= value <= 1 for value in quality[policy].values())
    for policy in ("popular", "personal_frequency"):
        for metric, bound in quality["lower_bounds"][policy].items():
            assert bound <= quality["streamrank"][metric] - quality[policy][metric] + 1e-3


def test_the_report_says_what_ran_and_names_no_place(report: dict[str, Any]) -> None:
    assert {"python", "streamrank", "tansu", "valkey", "triton"} <= set(report["versions"])
    assert set(report["machine"]) == {"cores", "ram_gb", "platform"}
    assert report["model"]
    assert str(Path.home()) not in json.dumps(report)


def test_json_is_the_report(demo: tuple[subprocess.CompletedProcess[str], Path], report: dict[str, Any]) -> None:
    assert json.loads((demo[1] / "copy.json").read_text()) == report


def test_the_books_are_kept_from_the_broker_and_redis(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack, tick_after_ms=500)
    sent = [*clicks(40), (b"u1", b"no event"), *clicks(1)]
    publish(settings, "events", sent)
    with Bookkeeper(settings) as books:
        before = books.events()
        assert before.lost == before.published > before.applied == 0
        assert not before.settled
        with worker(settings, tmp_path):
            wait_until(lambda: books.events().settled, 40, "all to be applied")
            assert books.events() == Account(42, 40, 1, 1, 0, settled=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--households", "100000"), "--households"),
        (("--households", "0"), "--households"),
        (("--weeks", "9"), "--weeks"),
        (("--rate", "0"), "--rate"),
    ],
)
def test_wrong_arguments_are_one_sentence(models: Path, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    done = subprocess.run(_command(models, tmp_path, *options), capture_output=True, text=True, timeout=END_S)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_everything(models: Path, demo: tuple[Any, Path], report: dict[str, Any]) -> None:
    run_dir = demo[1] / "run"
    process = subprocess.Popen(
        _command(models, run_dir, *FEW), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    addresses = run_dir / "stack" / "addresses.json"
    wait_until(addresses.exists, 60, "the stack runs")
    servers = _children(process.pid)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert servers
    assert not any(group(leader) for leader in servers)
    assert not addresses.exists()


def _children(parent: int) -> set[int]:
    """Return the processes that this one started; each leads a group of its own."""
    tasks = Path(f"/proc/{parent}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}
