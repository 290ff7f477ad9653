"""`streamrank worker`: one worker of a real deployment, until SIGTERM."""

import click

from streams.commands.options import with_settings
from streams.settings import Settings
from streams.worker import run


@click.command()
@with_settings
def worker(settings: Settings) -> None:
    """Read events, keep the state, publish slates, until SIGTERM or Ctrl-C."""
    run(settings)
