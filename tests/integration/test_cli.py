"""The verbs that ask servers: topics, doctor, up."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from confluent_kafka.admin import ConfigResource

from streams.contracts.topics import TOPICS
from streams.kafka_admin import admin
from streams.settings import Settings
from tests.integration.conftest import RunningStack
from tests.integration.processes import environment, own_settings, verb
from tests.support import running, wait_until


def test_topics_are_created_once(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    env = environment(settings, topic_prefix=settings.topic_prefix + "x-")
    results = []
    for n in range(2):
        report = tmp_path / f"{n}.json"
        ended = verb("topics", "create", "--json", str(report), env=env)
        assert ended.returncode == 0, ended.stderr
        results.append(set(json.loads(report.read_text()).values()))
    assert results == [{"created"}, {"was there"}]
    assert configs(settings) == {topic.name: dict(topic.config) for topic in TOPICS}
    refused = verb("topics", "create", env=env | {"STREAMRANK_PARTITIONS": "5"})
    assert refused.returncode == 1
    assert "has 2 partitions, the setting partitions says 5" in refused.stderr


def configs(settings: Settings) -> dict[str, dict[str, str]]:
    """Return how the broker keeps each of Streamrank's topics, where that is not its default."""
    wanted = {ConfigResource(ConfigResource.Type.TOPIC, settings.topic(topic.name)): topic.name for topic in TOPICS}
    client = admin(settings)  # dropping it would end its futures
    answers = client.describe_configs(list(wanted))
    return {wanted[at]: {k: e.value for k, e in answer.result(10).items()} for at, answer in answers.items()}


def findings(env: dict[str, str], folder: Path) -> tuple[int, dict[str, tuple[bool, str]]]:
    report = folder / "doctor.json"
    ended = verb("doctor", "--json", str(report), env=env)
    found = json.loads(report.read_text())
    assert found["ok"] == (ended.returncode == 0)
    return ended.returncode, {f["name"]: (f["ok"], f["detail"]) for f in found["findings"]}


def test_the_doctor_finds_a_healthy_system_healthy(stack: RunningStack, tmp_path: Path) -> None:
    code, found = findings(environment(own_settings(stack)), tmp_path)
    assert code == 0, found
    assert len(found) == 1 + 6 + 2
    assert found["triton"] == (True, "ranker/1")


def test_the_doctor_names_everything_that_is_wrong(stack: RunningStack, tmp_path: Path) -> None:
    settings = own_settings(stack)
    env = environment(settings, partitions=7, triton_version=9, redis_url="redis://:secret-word@127.0.0.1:1/0")
    code, found = findings(env, tmp_path)
    assert code == 1
    assert found["kafka"][0]
    assert not any(ok for name, (ok, _) in found.items() if name != "kafka")
    assert "Redis at 127.0.0.1:1 does not answer" in found["redis"][1]
    assert "secret-word" not in str(found)
    assert found["triton"][1].endswith("does not serve ranker/9")


def test_up_starts_a_killed_worker_again_and_leaves_nothing_behind(models: Path, tmp_path: Path) -> None:
    run_dir, output = tmp_path / "run", tmp_path / "output"
    command = [sys.executable, "-m", "streams.cli", "up", "--run-dir", str(run_dir), "--models", str(models)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRANK_")}
    with output.open("wb") as sink:
        supervisor = subprocess.Popen(command, env=env, stdout=sink, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "ready" in output.read_text() or supervisor.poll() is not None, 90, "the stack")
        assert verb("doctor", "--config", str(run_dir / "streamrank.toml"), env=env).returncode == 0
        first = _worker_of(supervisor.pid)
        learner = _worker_of(supervisor.pid, "learner")
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: _placed(run_dir) == 2, 60, "another worker")
        second = _worker_of(supervisor.pid)
        assert second != first
        assert _worker_of(supervisor.pid, "learner") == learner
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(30) == 0
        assert not running(second)
        assert not running(learner)
    finally:
        supervisor.kill()
        supervisor.wait()


def test_up_starts_a_trainer_if_the_settings_say_so(models: Path, tmp_path: Path) -> None:
    config, run_dir, output = tmp_path / "config.toml", tmp_path / "run", tmp_path / "output"
    config.write_text("trainer = true\ntrainer_archive_every_s = 0.5\n")
    words = ["up", "--config", str(config), "--run-dir", str(run_dir), "--models", str(models)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("STREAMRANK_")}
    with output.open("wb") as sink:
        command = [sys.executable, "-m", "streams.cli", *words]
        supervisor = subprocess.Popen(command, env=env, stdout=sink, stderr=subprocess.STDOUT)
    try:
        alive = run_dir / "trainer" / "alive"
        wait_until(lambda: alive.exists() or supervisor.poll() is not None, 120, "the trainer")
        assert supervisor.poll() is None, output.read_text()
        # There is one: another waits, or says so.
        second = verb("trainer", "--once", "--config", str(run_dir / "streamrank.toml"), env=env)
        assert second.returncode == 1
        assert "another trainer of ranker is at work" in second.stderr
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(60) == 0
        assert "ready" in output.read_text()
    finally:
        supervisor.kill()
        supervisor.wait()


def _worker_of(supervisor: int, name: str = "worker") -> int:
    """Return the child of the supervisor that runs this verb."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    (found,) = [int(pid) for pid in children if f"\0{name}\0".encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return found


def _placed(run_dir: Path) -> int:
    return (run_dir / "worker.log").read_text().count("partitions placed")
