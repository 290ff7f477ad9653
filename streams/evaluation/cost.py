"""What a slate of B costs beside one of A: both answer the same cases in turn, so that a busy machine slows both alike.

Timed after the walk, with all that was learned, since two walks one after the other measure the machine's mood too. The
ratio is the median over batches of B's time divided by A's (a paired comparison, unmoved by a few interruptions).
"""

import itertools
import time
from collections.abc import Sequence

import numpy as np

from inference.tensors import MAX_BATCH_SIZE
from streams.evaluation.base import Case
from streams.evaluation.streamrank import Streamrank

BATCHES = 64
"""Batches of MAX_BATCH_SIZE cases that each side answers; more take longer and say it more exactly."""
ROUNDED = 4


def cost(a: Streamrank, b: Streamrank, cases: Sequence[Case], k: int) -> dict[str, float]:
    """Return `slate_ms_ratio`, and of each side the median and 99th percentile over batches of the ms a slate took.

    The latest cases are asked, again and again if there are few of them.
    """
    asked = itertools.cycle(cases[-BATCHES * MAX_BATCH_SIZE :])
    ms: dict[str, list[float]] = {"a": [], "b": []}
    sides = [("a", a), ("b", b)]
    for _ in range(BATCHES):
        batch = list(itertools.islice(asked, MAX_BATCH_SIZE))
        for name, streamrank in sides:
            began = time.perf_counter()
            streamrank.rank(batch, k)
            ms[name].append((time.perf_counter() - began) * 1000 / len(batch))
        sides.reverse()  # who comes second finds the cases in the processor's caches
    ratio = float(np.median(np.array(ms["b"]) / np.array(ms["a"])))
    return {"slate_ms_ratio": round(ratio, ROUNDED)} | {
        f"{name}_slate_ms_{what}": round(float(np.quantile(took, share)), ROUNDED)
        for name, took in ms.items()
        for what, share in (("median", 0.5), ("p99", 0.99))
    }
