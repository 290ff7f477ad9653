"""The command line: `streamrank VERB`. One file a verb in `streams.commands`, imported only when it is called.

Every error is one sentence on stderr: exit code 2 for misuse, 1 for failure, 70 for a bug, 130 for Ctrl-C.
"""

import gc
import importlib
import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from streams.errors import MissingServer, StreamrankError

GC_THRESHOLDS = (20_000, 50, 50)
"""States and counters are millions of objects without cycles: looking through them often took a tenth of the time."""
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb's click command is, as module:name in `streams.commands`, and its line in the help."""

    command: str
    help: str


VERBS = {
    "up": Verb("up:up", "Start the embedded stack, a worker and a learner, until Ctrl-C."),
    "demo": Verb("demo:demo", "Show the whole system on real data."),
    "worker": Verb("worker:worker", "Run one worker of a real deployment."),
    "learner": Verb("learner:learner", "Learn from feedback as it comes, for all workers."),
    "topics": Verb("topics:topics", "Create the topics."),
    "doctor": Verb("doctor:doctor", "Check every dependency and say what is wrong."),
    "import": Verb("importing:import_", "Make event and item logs of a data set."),
    "replay": Verb("replaying:replay", "Publish a log to Kafka."),
    "backfill": Verb("backfilling:backfill", "Fold a log straight into an empty Redis namespace."),
    "simulate": Verb("simulating:simulate", "Measure slates on a log, in process."),
    "compare": Verb("comparing:compare", "Tell whether one configuration is better than another on a log."),
    "evaluate": Verb("evaluate:evaluate", "Estimate what a policy would be worth, from logged feedback."),
    "train": Verb("training:train", "Train a ranker on a log."),
    "distill": Verb("distilling:distill", "Train a ranker on a log and on what a teacher thinks."),
    "export": Verb("exporting:export", "Make model folders of trained models."),
    "trainer": Verb("trainer:trainer", "Keep the lake, and train, judge and publish rankers by itself."),
    "models": Verb("models:models", "Publish, try, promote and roll back versions of the ranker."),
    "schema": Verb("schema:schema", "Print the JSON Schema of every topic."),
}


class Lazy(click.Group):
    """A group that imports a verb when it is called, so help is fast and a missing extra harms only its verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs of this installation."""
        return [name for name, verb in VERBS.items() if _module(verb)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import a verb; None if there is none of that name.

        Raises:
            MissingServer: it needs a package that isn't installed.
        """
        verb = VERBS.get(name)
        if verb is None or not _module(verb):
            return None
        try:
            module = importlib.import_module(_module(verb))
        except ModuleNotFoundError as exc:
            raise MissingServer(
                f"streamrank {name} needs the package {exc.name}: pip install 'streamrank[demo,online,train]'"
            ) from exc
        command: click.Command = getattr(module, verb.command.partition(":")[2])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, VERBS[name].help) for name in self.list_commands(ctx)])


def _module(verb: Verb) -> str:
    name = "streams.commands." + verb.command.partition(":")[0]
    return name if importlib.util.find_spec(name) else ""


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="streamrank")
def streamrank() -> None:
    """Streamrank: Kafka events in, ranked slates out, within milliseconds."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; return its exit code."""
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        code = streamrank.main(arguments, prog_name="streamrank", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except StreamrankError as exc:
        click.echo(f"streamrank: {' '.join(str(exc).split())}", err=True)
        return exc.exit_code
    except Exception:
        logging.getLogger(__name__).critical("unexpected error", exc_info=True)
        return EXIT_BUG
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
