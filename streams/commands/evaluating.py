"""What the verbs that evaluate on a log share: the options that say how, the progress, and the log's complaints."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce, wraps
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from streams.commands.values import Moment
from streams.errors import Misuse
from streams.evaluation.log import Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.run import Asked
from streams.evaluation.run import Progress as Tell

_OPTIONS = (
    click.option(
        "--protocol",
        type=click.Choice(list(PROTOCOLS)),
        default="next-basket",
        show_default=True,
        help="What is predicted.",
    ),
    click.option("--k", type=click.IntRange(1, 100), default=10, show_default=True, help="Items of a slate."),
    click.option("--mask-history", is_flag=True, help="Never recommend what the user had before."),
    click.option("--strict", is_flag=True, help="holdout-last: the last item but one teaches nothing."),
    click.option(
        "--split", type=Moment(), help="Predict from here on; next-basket: default the last tenth of the time."
    ),
    click.option(
        "--holdout", type=click.Path(path_type=Path), help="holdout-file: its file; default LOG/holdout.jsonl."
    ),
    click.option(
        "--hide",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        help="Cold start: this share of the items teaches nothing, and only they are asked for.",
    ),
    click.option(
        "--sample", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="A random share of the cases."
    ),
    click.option(
        "--min-count", type=click.IntRange(min=0), default=0, help="Targets are items of so many signals before."
    ),
    click.option(
        "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="To predict (and train) with."
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        default=1,
        show_default=True,
        help="Of samples, intervals and training.",
    ),
)


def protocol_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `protocol` (its name), `chosen` and `asked`, by options that are the same for all verbs."""

    @wraps(command)
    def prepared(
        *args: Any,
        k: int,
        mask_history: bool,
        strict: bool,
        split: int | None,
        holdout: Path | None,
        hide: float,
        sample: float,
        min_count: int,
        processes: int,
        seed: int,
        **options: Any,
    ) -> Any:
        if hide and min_count:
            raise Misuse("--hide: a hidden item had no signals before: leave out --min-count")
        chosen = Chosen(split_ms=split, masked=mask_history, strict=strict, holdout=holdout, hide=hide, seed=seed)
        asked = Asked(k=k, seed=seed, sample=sample, processes=processes, min_count=min_count)
        return command(*args, chosen=chosen, asked=asked, **options)

    # A decorator puts its option before those that are there.
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), prepared)


@contextmanager
def progress_on(console: Console) -> Iterator[Tell]:
    """Show what is going on, on a terminal, while the block runs."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,.0f}"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done: bar.update(task, description=what, completed=done)


def complain(log: Log, console: Console) -> None:
    """Print the first of each kind of trouble with the log."""
    for complaint in log.complaints:
        console.print(complaint, markup=False, soft_wrap=True)
