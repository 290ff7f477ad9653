"""`streamrank distill`: a ranker that learns from a log and from a teacher."""

from typing import Any

import click

from streams.commands.training import trained, training_options
from streams.settings import Settings

TEACHERS = ("ensemble", "language", "sequence", "slices", "student")
ALPHA = 0.5
"""How much the student listens to its teacher, unless the recipe says otherwise."""


@click.command(short_help="Train a ranker on a log and on what a teacher thinks.")
@click.option(
    "--teacher", type=click.Choice(TEACHERS), default=TEACHERS[0], show_default=True, help="Who judges the lists."
)
@training_options
def distill(settings: Settings, teacher: str, overrides: tuple[str, ...], **given: Any) -> None:
    """Train a teacher first, let it judge the lists, and train a ranker on both; write model and manifest.

    As `train`, with distillation.alpha=0.5; KEY=VALUE changes it, distillation.temperature and all else of the recipe.
    """
    distillation = (f"distillation.alpha={ALPHA}", f"distillation.teacher={teacher}")
    trained(settings, overrides=(*distillation, *overrides), **given)
