"""`streamrank evaluate`: what a policy would have been worth, from the log that another one left."""

from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from inference.tensors import HEADS
from streams.commands.options import json_option, write_json
from streams.evaluation.offpolicy.run import Evaluation
from streams.evaluation.offpolicy.run import evaluate as run


@click.command(short_help="Estimate what a policy would be worth, from logged feedback.")
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="CONFIG",
    help="TOML file that describes the policy.",
)
@click.option(
    "--outcome", type=click.Choice(HEADS), default="click", show_default=True, help="The reward: that far, or further."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the intervals, and of what is drawn."
)
@json_option
def evaluate(log: Path, policy: Path, outcome: str, seed: int, json_file: Path | None) -> None:
    """Estimate the rewards per slate that a policy would have had, from LOG: feedback, or a folder of an import.

    docs/offpolicy.md tells of the policies, and how to read the table.
    """
    evaluation = run(log, policy, outcome=outcome, seed=seed)
    show(evaluation)
    write_json(json_file, evaluation.result)


def show(evaluation: Evaluation) -> None:
    """Print the table of a result."""
    result, console = evaluation.result, Console(highlight=False, soft_wrap=True)
    title = (
        f"{result['policy']}: {result['outcome']}s per slate, from {result['slates']:,} slates of {result['users']:,}"
        f" users with {result['rewards']:,}"
    )
    table = Table("estimator", *("value", "95 % interval", "effective slates"), title=title, box=SIMPLE_HEAD)
    for name, one in result["estimates"].items():
        values = ("none", "no reward among them")
        if one["value"] is not None:
            values = f"{one['value']:.5f}", "{:.5f} to {:.5f}".format(*one["interval"])
        table.add_row(name, *values, f"{one['effective_slates']:,.0f}")
    console.print(table)
    mean, (low, high) = result["mean_weight"]["value"], result["mean_weight"]["interval"]
    console.print(f"mean weight {mean:.3f} ({low:.3f} to {high:.3f}), largest {result['largest_weight']:.1f}")
    if evaluation.complaint is not None:
        console.print(evaluation.complaint)
