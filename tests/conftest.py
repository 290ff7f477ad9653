"""For all tests: signals reach the processes they start, those marked `alone` run while no other test does.

As tests run side by side, each has one thread for its matrices: more of them only wait for each other.
How long an example of Hypothesis takes says nothing: time is no promise of a test that others run beside.
"""

import fcntl
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

DOOR, ROOM = Path(__file__), Path(__file__).with_name("__init__.py")
"""Files of the checkout, to be locked: all processes of a run find the same."""

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # inherited from a shell's background job
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # inherited from nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
settings.register_profile("beside others", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("beside others")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let the tests of several processes (pytest -n) run side by side, but not beside one that is `alone`."""
    with DOOR.open() as door, ROOM.open() as room:
        # Who waits to be alone holds the door, so that nobody else comes in meanwhile.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if item.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            return (yield)
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # closing is not enough: what the test forked holds it, too
