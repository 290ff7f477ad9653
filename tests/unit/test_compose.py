"""docker-compose.yml and what it needs: every name in it must be one that exists."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from inference.tensors import config_pbtxt
from streams.cli import VERBS, streamrank
from streams.settings import ENV_PREFIX, Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXAMPLE = dict(re.findall(r"^([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))
DOCKERFILES = sorted((ROOT / "deploy").glob("*Dockerfile"))
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|PRIVATE|CREDENTIAL", re.IGNORECASE)

ours = [
    name
    for name, service in SERVICES.items()
    if service.get("image", "").startswith(("streamrank:", "streamrank-trainer:"))
]
verbs = [name for name in ours if "entrypoint" not in SERVICES[name]]


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("name", verbs)
def test_commands_are_verbs_of_the_command_line(name: str) -> None:
    command: click.Command | None = streamrank
    words = list(SERVICES[name]["command"])
    while words and isinstance(command, click.Group):
        word = words.pop(0)
        command = command.get_command(click.Context(command), word)
        assert command is not None, f"{name}: {word} is no verb"
    assert isinstance(command, click.Command)
    command.make_context(name, words)


def test_there_are_a_worker_a_learner_perhaps_a_trainer_and_something_that_makes_the_topics() -> None:
    commands = [SERVICES[name]["command"] for name in verbs]
    assert commands == [["topics", "create"], ["worker"], ["learner"], ["trainer"]]
    assert SERVICES["trainer"]["profiles"] == ["trainer"]
    assert "worker" in VERBS


@pytest.mark.parametrize("name", ours)
def test_settings_are_fields_and_fit_together(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = SERVICES[name].get("environment", {})
    mine = {key.removeprefix(ENV_PREFIX).lower() for key in values if key.startswith(ENV_PREFIX)}
    assert mine <= set(Settings.model_fields)
    assert len(mine) == len(values)
    for key, value in values.items():
        monkeypatch.setenv(key, VARIABLE.sub(lambda m: m[3] if m[2] == "-" else "secret", value))
    settings = Settings()
    for field, server in {"kafka_bootstrap": "kafka:9092", "triton_address": "triton:8001"}.items():
        assert field not in mine or getattr(settings, field) == server


def test_whatever_talks_to_servers_has_all_settings() -> None:
    for name in verbs:
        assert SERVICES[name]["environment"] == COMPOSE["x-settings"], name
    assert {"STREAMRANK_KAFKA_BOOTSTRAP", "STREAMRANK_PARTITIONS", "STREAMRANK_REDIS_URL"} <= set(COMPOSE["x-settings"])
    assert {"STREAMRANK_REDIS_PASSWORD", "STREAMRANK_TRITON_ADDRESS"} <= set(COMPOSE["x-settings"])


def test_each_waits_for_what_it_needs() -> None:
    waits = {name: set(service.get("depends_on", {})) for name, service in SERVICES.items()}
    assert "kafka" in waits["topics"]
    assert {"topics", "redis", "triton-cpu", "triton-gpu"} <= waits["worker"] == waits["trainer"]
    for target in ("cpu", "gpu"):
        assert f"models-{target}" in waits[f"triton-{target}"]
        assert SERVICES["worker"]["depends_on"][f"triton-{target}"]["required"] is False


def test_data_survive_a_container() -> None:
    mounted = {name: [v.split(":")[1] for v in service.get("volumes", [])] for name, service in SERVICES.items()}
    assert SERVICES["kafka"]["environment"]["KAFKA_LOG_DIRS"] in mounted["kafka"]
    (folder,) = re.findall(r"^dir (\S+)$", (ROOT / "deploy/redis/redis.conf").read_text(), re.MULTILINE)
    assert folder in mounted["redis"]
    settings = COMPOSE["x-settings"]
    for name in ("LAKE", "TRAINER_FOLDER", "TRITON_REPOSITORY"):
        assert settings[f"STREAMRANK_{name}"] in mounted["trainer"]
    assert all("/models" in mounted[f"{kind}-{target}"] for kind in ("models", "triton") for target in ("cpu", "gpu"))


def test_kafka_is_asked_for_its_health_where_it_listens() -> None:
    (port,) = re.findall(r"--bootstrap-server 127\.0\.0\.1:(\d+)", SERVICES["kafka"]["healthcheck"]["test"][-1])
    assert f":{port}" in re.findall(r"//(:\d+)", SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"])


def test_redis_starts_with_the_password_whatever_is_in_it(tmp_path: Path) -> None:
    """Run with a stand-in for the image's entry point, which notes its arguments and what it is told."""
    stand_in = tmp_path / "docker-entrypoint.sh"
    stand_in.write_text('#!/bin/sh\necho "$@" > arguments\ncat > told\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_PASSWORD": 'a"b\\c d'}
    script = ["sh", str(ROOT / "deploy/redis/start.sh")]
    subprocess.run(script, cwd=tmp_path, env=environment, check=True, timeout=10)
    assert (tmp_path / "told").read_text() == 'requirepass "a\\"b\\\\c d"\n'
    arguments = (tmp_path / "arguments").read_text()
    assert arguments == "redis-server /etc/redis/redis.conf --maxmemory 0 -\n"
    without = subprocess.run(
        script, cwd=tmp_path, env=environment | {"REDIS_PASSWORD": ""}, capture_output=True, text=True
    )
    assert without.returncode != 0
    assert "REDIS_PASSWORD: is empty" in without.stderr


def test_the_health_check_of_redis_tells_the_password() -> None:
    assert 'REDISCLI_AUTH="$$REDIS_PASSWORD"' in SERVICES["redis"]["healthcheck"]["test"][-1]


def test_addresses_name_services_of_this_network() -> None:
    aliases = {alias for s in SERVICES.values() for n in (s.get("networks") or {}).values() for alias in n["aliases"]}
    text = " ".join(_strings(COMPOSE["x-settings"]))
    hosts = set(re.findall(r"(?:^|[ /])([a-z]+):\d+", text))
    assert hosts == {"kafka", "redis", "triton"}
    assert hosts <= set(SERVICES) | aliases


def test_every_variable_has_a_default_or_stands_empty_in_the_example() -> None:
    found = {match[1]: (match[2], match[3]) for match in VARIABLE.finditer("\n".join(_strings(SERVICES)))}
    for name, (kind, default) in found.items():
        assert name in EXAMPLE, name
        if kind == "-":
            assert EXAMPLE[name] == default, name
    assert set(EXAMPLE) == set(found) | {"COMPOSE_PROFILES"}
    assert set(SERVICES["triton-cpu"]["profiles"]) == {EXAMPLE["COMPOSE_PROFILES"]}


def test_no_secret_is_written_down() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert VARIABLE.fullmatch(value), f"{name}: {key}"
                assert VARIABLE.fullmatch(value)[2] == "?", f"{name}: {key} may be empty"
    assert all(value == "" for key, value in EXAMPLE.items() if SECRET.search(key))
    assert not re.search(r"://[^/\s]*:[^/\s]*@", TEXT)
    assert "requirepass" not in TEXT
    assert "requirepass" not in (ROOT / "deploy/redis/redis.conf").read_text()


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [m for path in DOCKERFILES for m in re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)]
    assert len(images) == len(SERVICES) + 3
    for image in images:
        assert re.search(r":v?\d+\.\d+", image), image
    packages = [m for path in DOCKERFILES for m in re.findall(r"pip install (.*)", path.read_text())]
    assert all("==" in p or "--constraint" in p or "--no-deps" in p for p in packages), packages


def test_every_path_exists() -> None:
    mounted = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    for source in mounted:
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], source
    builds = [service["build"] for service in SERVICES.values() if "build" in service]
    assert {build["dockerfile"] for build in builds} == {str(path.relative_to(ROOT)) for path in DOCKERFILES}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copies = [m for path in DOCKERFILES for m in re.findall(r"^COPY (?!--)(.*) \S+$", path.read_text(), re.MULTILINE)]
    assert len(copies) >= 7
    for source in " ".join(copies).split():
        assert (ROOT / source).exists(), source
        assert f"!{source.split('/')[0]}" in ignored, source


def test_ports_listen_on_loopback_only() -> None:
    ports = {name: service.get("ports", []) for name, service in SERVICES.items()}
    assert all(port.startswith("127.0.0.1:") for some in ports.values() for port in some)
    assert ports["kafka"]
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert "HOST://" + ports["kafka"][0].rpartition(":")[0] in advertised


def test_long_running_services_have_health_checks_and_one_shots_end() -> None:
    for name, service in SERVICES.items():
        one_shot = service["restart"] == "no"
        assert one_shot != ("healthcheck" in service), name
        for other, wanted in service.get("depends_on", {}).items():
            ends = SERVICES[other]["restart"] == "no"
            assert wanted["condition"] == ("service_completed_successfully" if ends else "service_healthy"), name
    port = COMPOSE["x-settings"]["STREAMRANK_METRICS_PORT"]
    for name in ("worker", "learner"):
        assert f":{port}/livez" in SERVICES[name]["healthcheck"]["test"][-1]


def test_redis_keeps_everything_and_triton_is_asked_for_what_the_workers_use() -> None:
    lines = (ROOT / "deploy/redis/redis.conf").read_text().splitlines()
    assert {"maxmemory-policy noeviction", "appendonly yes"} <= set(lines)
    for name in ("triton-cpu", "triton-gpu"):
        command = SERVICES[name]["command"]
        assert f"--load-model={Settings.model_fields['triton_model'].default}" in command
        assert "--model-control-mode=explicit" in command
    (device,) = SERVICES["triton-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_containers_of_ours_are_not_root_and_cannot_write() -> None:
    for path in DOCKERFILES:
        users = re.findall(r"^USER (\S+)", path.read_text(), re.MULTILINE)
        assert users, path
        assert users[-1] not in ("root", "0")
    assert all(SERVICES[name]["read_only"] and SERVICES[name]["cap_drop"] == ["ALL"] for name in ours)


def test_models_are_placed_for_the_target_and_nothing_served_is_replaced(tmp_path: Path) -> None:
    script: dict[str, Any] = {"__name__": "place_models"}
    exec(compile((ROOT / "deploy/place_models.py").read_text(), "place_models.py", "exec"), script)  # noqa: S102
    source, repository = tmp_path / "source", tmp_path / "models"
    (source / "ranker/1").mkdir(parents=True)
    (source / "ranker/config.pbtxt").write_text("of the embedded server")
    (source / "ranker/1/model.onnx").write_bytes(b"first")
    assert script["place"]("gpu", repository, source) == ["ranker/1"]
    assert (repository / "ranker/config.pbtxt").read_text() == config_pbtxt("ranker", "gpu")
    (source / "ranker/1/model.onnx").write_bytes(b"changed")
    shutil.copytree(source / "ranker/1", source / "ranker/2")
    assert script["place"]("cpu", repository, source) == ["ranker/2"]
    assert (repository / "ranker/1/model.onnx").read_bytes() == b"first"
    assert (repository / "ranker/config.pbtxt").read_text() == config_pbtxt("ranker", "cpu")
    assert not list(repository.rglob(".*"))
    (repository / ".shelf").mkdir()
    (repository / "ranker").rename(repository / ".shelf/ranker")
    assert script["place"]("cpu", repository, source) == []  # what was retired stays so
    assert script["main"](["tpu", str(repository)]) == 2
    assert script["main"](["cpu", str(tmp_path / "packaged")]) == 0
    assert (tmp_path / "packaged/ranker/config.pbtxt").is_file()
