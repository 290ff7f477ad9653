"""`streamrank demo`: a year of real purchases through the whole system on this machine, counted and compared."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from streams.commands.options import json_option, write_json
from streams.commands.up import SETTINGS_FILE, embedded_environment, write_settings
from streams.demo.data import forget_state, imported
from streams.demo.report import broken_promises, report, write
from streams.demo.story import Plan, Story, Told
from streams.demo.swap import Swap
from streams.demo.tables import tables
from streams.demo.view import View
from streams.demo.watch import Watch
from streams.embedded.stack import Stack
from streams.errors import Misuse, StackFailed, StreamrankError
from streams.interrupts import raise_if, signals_kept, sigterm_as_ctrl_c
from streams.kafka_admin import create_topics
from streams.logs import configure
from streams.settings import ENV_PREFIX, SHIPPED_MODELS, Settings, load_settings
from streams.supervise import SupervisedWorker

HOUSEHOLDS = 500
"""Of about 2,500. More make the comparison surer and the demo longer."""
MOST_WEEKS = 8
"""So many whole weeks the data has after the cut."""
WINDOWS = {ENV_PREFIX + "ATTRIBUTION_WINDOW_S": "86400", ENV_PREFIX + "PURCHASE_WINDOW_S": "1800"}
"""The demo squeezes half a day into a second, so the usual window would be over before a click came."""
READY_S = 60.0
REPORT = "report.json"


class PromiseBroken(StreamrankError):
    """The demo ran to its end and something is missing: keep the run folder and report it."""


@click.command(short_help="Show the whole system on real data.")
@click.option("--households", type=click.IntRange(min=1), default=HOUSEHOLDS, show_default=True, help="How many.")
@click.option("--weeks", type=click.IntRange(1, MOST_WEEKS), default=4, show_default=True, help="Streamed live.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the sample and the bootstrap.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), default=40.0, show_default=True, help="Requests a second."
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/demo"),
    show_default=True,
    help="Folder for data, logs and report.json.",
)
@click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=SHIPPED_MODELS,
    help="Folder of models to serve instead of those that come with Streamrank.",
)
@json_option
def demo(
    households: int, weeks: int, seed: int, rate: float, run_dir: Path, models: Path, json_file: Path | None
) -> None:
    """Run real purchases through Kafka, Redis, Triton and a worker on this machine; end with a report.

    Exit code 0 only if no event was lost, every request was answered and every malformed event was refused.
    """
    configure("text", logging.WARNING)
    sigterm_as_ctrl_c()
    console, plan = Console(), Plan(households, weeks, seed, rate)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / REPORT).unlink(missing_ok=True)
    except OSError as exc:
        raise Misuse(f"{run_dir}: cannot use this run folder: {exc.strerror}") from exc
    with View(console) as view:
        _import(view, run_dir / "data", plan)
        told = _run(view, run_dir, plan, models)
    result = report(told, plan, view.seconds)
    write(run_dir / REPORT, result)
    for table in tables(result):
        console.print(table)
    console.print(f"report: {run_dir / REPORT}", soft_wrap=True, highlight=False)
    write_json(json_file, result)
    broken = broken_promises(told, result)
    if broken:
        raise PromiseBroken("; ".join(broken))


def _import(view: View, folder: Path, plan: Plan) -> None:
    with view.phase("data") as phase:

        def on_lines(lines: int) -> None:
            if phase.due():
                phase.status({"lines": f"{lines:,}"})

        phase.status({"Complete Journey": f"{plan.households:,} households"})
        data, cached = imported(folder, plan.households, plan.seed, on_lines)
        before = ", imported before" if cached else ""
        phase.done(f"{data.events:,} purchases of {plan.households:,} households, {data.items:,} items{before}")


def _run(view: View, run_dir: Path, plan: Plan, models: Path) -> Told:
    """Start everything, tell the story, and end everything.

    The worker that took in the history is stopped and another one serves: that what it knew is all in Redis is part
    of the story, and the new one has loaded the counters whole before it answers.
    """
    with ExitStack() as running:
        stop = running.enter_context(signals_kept())
        with view.phase("servers") as phase:
            forget_state(run_dir / "stack")
            stack = running.enter_context(Stack(run_dir / "stack", models))
            environment = embedded_environment(stack.addresses) | WINDOWS
            settings = _settings(environment)
            create_topics(settings)
            phase.done("Kafka, Redis and Triton are ready")
        write_settings(run_dir / SETTINGS_FILE, environment)
        champion = models / settings.triton_model / str(settings.triton_version)
        swap = running.enter_context(Swap(run_dir / SETTINGS_FILE, champion))
        story = running.enter_context(Story(settings, run_dir / "data", plan, view, swap))
        with _processes(view, stack, stop, environment, "worker", "joined the group", "worker") as meanwhile:
            story.load(meanwhile)
        took_over = "another worker took over, from what is in Redis, and a learner runs beside it"
        with _processes(view, stack, stop, environment, "restart", took_over, "worker", "learner") as meanwhile:
            return story.serve(meanwhile)


@contextmanager
def _processes(
    view: View,
    stack: Stack,
    stop: threading.Event,
    environment: dict[str, str],
    title: str,
    result: str,
    *verbs: str,
) -> Iterator[Callable[[], None]]:
    """Run these verbs, and look after all processes; give a function that raises what can't be mended."""
    with ExitStack() as running:
        with view.phase(title) as phase:
            started = [running.enter_context(SupervisedWorker(stack.run_dir, environment, verb)) for verb in verbs]
            for process in started:
                process.start()
            for process in started:
                process.await_ready(READY_S, meanwhile=lambda: raise_if(stop))
            phase.done(result)
        watch = running.enter_context(Watch(lambda: _check(view, stack, started)))

        def meanwhile() -> None:
            raise_if(stop)
            watch.raise_if_failed()

        yield meanwhile


def _settings(environment: dict[str, str]) -> Settings:
    """Return the settings of the embedded stack; what is set for a real deployment isn't meant for the demo."""
    for name in [name for name in os.environ if name.startswith(ENV_PREFIX)]:
        del os.environ[name]
    values: dict[str, Any] = {name.removeprefix(ENV_PREFIX).lower(): value for name, value in environment.items()}
    return load_settings(None, **values)


def _check(view: View, stack: Stack, processes: Sequence[SupervisedWorker]) -> None:
    for restart in stack.check():
        if restart.name == "broker":
            raise StackFailed(f"the broker failed: {restart.because}; {restart.lost}")
        view.note(f"{restart.name} was started again: {restart.because}; {restart.lost}")
    for said in filter(None, [process.check() for process in processes]):
        view.note(said)
