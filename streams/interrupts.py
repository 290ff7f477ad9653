"""Ctrl-C and SIGTERM as an event that is looked at, instead of an exception that may come anywhere.

One that is raised in a callback of librdkafka is lost, and the call around it fails with `SystemError`; one between
the start of a server and the note of who stops it leaves the server running.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_kept() -> Iterator[threading.Event]:
    """Give an event that either signal sets; in the main thread only."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sigterm_as_ctrl_c() -> None:
    """Let SIGTERM end the process as Ctrl-C does, also where SIGINT was ignored when it was started."""
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)


def raise_if(stop: threading.Event) -> None:
    """Raise `KeyboardInterrupt` if the event is set."""
    if stop.is_set():
        raise KeyboardInterrupt
