"""The operator of `benchmarks/swap.py`, in a process of its own: `swapper.py SETTINGS FOLDER SWAPS PAUSE_S`.

Publishes the versions in FOLDER, promotes the last two, and says so; then, at a word, promotes one after the other,
SWAPS times, PAUSE_S after each, and prints a line of JSON for each. A version that comes round again is loaded anew:
its files lay on the shelf.
"""

import asyncio
import json
import os
import sys
import time
from itertools import cycle, islice
from pathlib import Path

from inference.repository import versions
from streams.checks import triton_address
from streams.rollout.desk import Desk
from streams.rollout.pointer import Pointer
from streams.settings import load_settings
from streams.store.connection import connect


async def work(config: Path, folder: Path, swaps: int, pause_s: float) -> None:
    """Publish, wait for the word, then swap."""
    os.nice(10)  # as the command does
    settings = load_settings(config)
    redis = connect(settings)
    pointer = Pointer(redis, settings.key_prefix, settings.triton_model)
    desk = Desk(settings, pointer, triton_address(settings), "bench", "", lambda: int(time.time() * 1000))
    for version in versions(folder):
        await desk.publish(str(folder / str(version)), version)
    for version in versions(folder)[-2:]:  # so that as many are loaded before as after
        await desk.promote(version)
    _say({"published": versions(folder)})
    sys.stdin.readline()
    for version in islice(cycle(versions(folder)), swaps):
        began_s = time.perf_counter()  # of one clock with the benchmark's
        await desk.promote(version)
        _say({"version": version, "began_s": began_s, "ended_s": time.perf_counter()})
        await asyncio.sleep(pause_s)
    await redis.close()


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
