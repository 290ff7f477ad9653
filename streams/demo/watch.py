"""Looks after servers and worker in a thread while the demo works, and hands a failure to whoever asks."""

import threading
from collections.abc import Callable

from streams.errors import StreamrankError

EVERY_S = 0.5


class Watch:
    """A context manager; `check` is called now and then and raises what can't be mended."""

    def __init__(self, check: Callable[[], object]) -> None:
        self._check = check
        self._stop = threading.Event()
        self._failure: StreamrankError | None = None
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def raise_if_failed(self) -> None:
        """Raise what the check raised.

        Raises:
            StreamrankError: that.
        """
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            try:
                self._check()
            except StreamrankError as exc:
                self._failure = exc
                return
