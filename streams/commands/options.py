"""What all verbs share: `--config` and `--log-format`, and results as JSON files."""

import json
import os
import shlex
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from streams.errors import Misuse
from streams.logs import configure
from streams.settings import load_settings

SHOWN_REJECTS = 5
"""So many rejected lines are named; the others are only counted."""

config_option = click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), help="TOML file with settings."
)
log_format_option = click.option(
    "--log-format", type=click.Choice(["json", "text"]), default="json", show_default=True, help="How to log."
)
recipe_option = click.option(
    "--recipe", "recipe_file", type=click.Path(path_type=Path, dir_okay=False), help="TOML file: how to train."
)


class ResultFile(click.Path):
    """A file to write a result to; that it can be written is known before the work that leads to it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path.

        Raises:
            Misuse: it can't be written.
        """
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        check_writable(path)
        return path


json_option = click.option("--json", "json_file", type=ResultFile(), help="Write the result to this file.")


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its settings as first argument, and set up logging; adds --config and --log-format."""

    @config_option
    @log_format_option
    @wraps(command)
    def prepared(*args: Any, config: Path | None, log_format: Any, **options: Any) -> Any:
        configure(log_format)
        return command(load_settings(config), *args, **options)

    return prepared


def as_typed(context: click.Context) -> str:
    """Return the command line of a call, as a shell takes it: what was given, not what is default or from elsewhere."""
    words = ["streamrank", str(context.info_name)]
    for parameter in context.command.params:
        name, value = str(parameter.name), context.params.get(str(parameter.name))
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(parameter, click.Option):
            words.append(max(parameter.opts, key=len))
            if parameter.is_flag:
                continue
        words.append(str(value))
    return shlex.join(words)


def write_json(path: Path | None, result: Any) -> None:
    """Write a result to the file of `--json`, if there is one.

    Raises:
        Misuse: it can't be written.
    """
    if path is None:
        return
    write_whole(path, json.dumps(result, indent=2) + "\n")


def check_writable(path: Path) -> None:
    """Find out whether `write_whole` can write a file; leaves nothing behind.

    Raises:
        Misuse: it can't.
    """
    unfinished = _unfinished(path)
    try:
        if unfinished != path:
            unfinished.touch()
            unfinished.unlink()
        elif not os.access(path, os.W_OK):
            raise Misuse(f"{path}: cannot write the result: no permission")
    except OSError as exc:
        raise Misuse(f"{path}: cannot write the result: {exc.strerror}") from exc


def write_whole(path: Path, text: str) -> None:
    """Write a file under a temporary name, and rename it: it is there whole or not at all.

    Raises:
        Misuse: it can't be written.
    """
    unfinished = _unfinished(path)
    try:
        unfinished.write_text(text, "utf-8")
        if unfinished != path:
            unfinished.replace(path)
    except OSError as exc:
        raise Misuse(f"{path}: cannot write the result: {exc.strerror}") from exc


def _unfinished(path: Path) -> Path:
    """Return where a file is written first; a pipe or a device as it is: it must not be replaced by a file."""
    return path if path.exists() and not path.is_file() else path.with_name(f".{path.name}.new")
