"""Marks the inner loops that are compiled to machine code, by numba: those over candidates, neighbours and changes.

A compiled function takes numbers and arrays only, and gives the same bits in every process. What was compiled is kept
beside the sources (or, if they can't be written to, in the user's cache folder), so only the first start waits for it.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call; one that the disk can't keep is compiled anew in every process."""
    try:
        fast: Callable[P, R] = numba.njit(cache=True)(function)
    except RuntimeError:  # no folder to keep it in
        fast = numba.njit(function)
    return fast
