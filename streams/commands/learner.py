"""`streamrank learner`: the process that learns from feedback, until SIGTERM. One a model."""

import os

import click

from streams.commands.options import with_settings
from streams.online.process import run
from streams.settings import Settings

_NICE = 5
"""By how much it gives way to workers on the machine: a slate is due in milliseconds, a lesson in half a second."""


@click.command()
@with_settings
@click.option("--anew", is_flag=True, help="Forget what was learned, and begin at the start of the log.")
def learner(settings: Settings, anew: bool) -> None:
    """Learn from every record of feedback, and publish snapshots that workers score with, until SIGTERM or Ctrl-C."""
    os.nice(_NICE)
    run(settings, anew)
