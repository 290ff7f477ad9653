"""`streamrank up`: the embedded stack, a worker, a learner, and a trainer if the settings say so, until Ctrl-C."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from streams.commands.options import config_option
from streams.embedded.stack import Addresses, Stack
from streams.interrupts import raise_if, signals_kept
from streams.kafka_admin import create_topics, restore_topics
from streams.logs import configure
from streams.settings import ENV_PREFIX, SHIPPED_MODELS, Settings, load_settings
from streams.supervise import SupervisedWorker

EMBEDDED = {
    "partitions": "8",
    "kafka_session_timeout_s": "6",
    "kafka_fetch_max_wait_ms": "2",
}
"""Settings that fit the embedded broker: it holds a join for half a session, and a fetch for half its longest wait."""
READY_S = 60.0
SETTINGS_FILE = "streamrank.toml"
"""Written into the run folder, for `--config` of other verbs."""


@click.command()
@config_option
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/up"),
    show_default=True,
    help="Folder for data and logs of the servers.",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=SHIPPED_MODELS,
    help="Folder of models to serve instead of those that come with Streamrank.",
)
@click.option("--learner/--no-learner", "learns", default=True, help="Learn from feedback, too; on by default.")
def up(config: Path | None, run_dir: Path, models: Path, learns: bool) -> None:
    """Start Kafka, Redis, Triton, a worker and a learner on this machine, until Ctrl-C."""
    configure("text")
    console = Console()
    with signals_kept() as stop, Stack(run_dir, models) as stack:
        environment = embedded_environment(stack.addresses)
        settings = _settings(config, environment)
        environment |= _trainers_places(settings, run_dir)
        create_topics(settings)
        write_settings(run_dir / SETTINGS_FILE, environment)
        if config is not None:
            environment[ENV_PREFIX + "CONFIG"] = str(config.absolute())
        with ExitStack() as running:
            names = ["worker", *(["learner"] if learns else [])]
            variables = _own_variables() | environment
            processes = [running.enter_context(SupervisedWorker(stack.run_dir, variables, name)) for name in names]
            for process in processes:
                process.start()
            for process in processes:
                process.await_ready(READY_S, meanwhile=lambda: raise_if(stop))
            _say_ready(console, processes, run_dir / SETTINGS_FILE)
            if settings.trainer:
                processes.append(running.enter_context(SupervisedWorker(stack.run_dir, variables, "trainer")))
                processes[-1].start()
            while not stop.wait(0.2):
                for restart in stack.check():
                    console.print(f"[yellow]{restart.name} was started again: {restart.because}; {restart.lost}[/]")
                    if restart.name == "broker":
                        restore_topics(settings)
                for said in filter(None, [process.check() for process in processes]):
                    console.print(f"[yellow]{said}[/]")
            console.print("stopping")


def _trainers_places(settings: Settings, run_dir: Path) -> dict[str, str]:
    """Return the variables that put lake and trainer into the run folder, unless the settings name other places."""
    places = {"lake": run_dir.absolute() / "lake", "trainer_folder": run_dir.absolute() / "trainer"}
    named = settings.model_fields_set
    return {ENV_PREFIX + name.upper(): str(place) for name, place in places.items() if name not in named}


def embedded_environment(addresses: Addresses) -> dict[str, str]:
    """Return the variables under which any verb works with the embedded stack."""
    values = {
        "kafka_bootstrap": addresses.kafka,
        "redis_url": addresses.redis_url,
        "triton_address": addresses.triton,
        "triton_repository": addresses.repository,
        **EMBEDDED,
    }
    return {ENV_PREFIX + name.upper(): value for name, value in values.items()}


def write_settings(path: Path, environment: Mapping[str, str]) -> None:
    """Write the settings of these variables as a TOML file, all at once."""
    lines = [f"{name.removeprefix(ENV_PREFIX).lower()} = {json.dumps(value)}\n" for name, value in environment.items()]
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text("".join(lines), "utf-8")
    unfinished.replace(path)


def _settings(config: Path | None, environment: dict[str, str]) -> Settings:
    overrides: dict[str, Any] = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in environment.items()}
    return load_settings(config, **overrides)


def _own_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(ENV_PREFIX)}


def _say_ready(console: Console, processes: Sequence[SupervisedWorker], settings_file: Path) -> None:
    console.print(f"In a second terminal: streamrank doctor --config {settings_file}", soft_wrap=True, highlight=False)
    for process in processes:
        console.print(f"{process.log}, metrics: http://127.0.0.1:{process.port}/metrics", soft_wrap=True)
    names = " and ".join(f"a {process.log.stem}" for process in processes)
    console.print(f"[green]ready[/]: Kafka, Redis, Triton, {names}; Ctrl-C ends them.")
