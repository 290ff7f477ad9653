"""What the click model looks at: one sparse row for each item shown, of fixed width, the same learned and scored.

Nothing is a column of its own that could come without end: sources and devices are hashed into buckets, items and
categories count by one number each, their residual (`rates`). A row's columns are numbered as the constants say.

The model is learned with the position as it was and scored at REFERENCE, the first one, so that what an item owes to
its position is not held for its worth (Craswell et al., WSDM 2008). What was not seen is not learned.
"""

import hashlib
import math
from collections.abc import Sequence

from inference.tensors import FEATURES, HEADS
from streams.features.item import digest_of

Row = dict[int, float]

STAND_IN = ("fused", "popular", "trend", "own_rate", "pair_total", "category_0")
"""Features that say without a ranker how good a candidate is; others are in `fused`, more or less."""
STAND_IN_COLUMNS = tuple(FEATURES.index(name) for name in STAND_IN)
SOURCES = 73
DEVICES = 16
"""Buckets; two names in one are told apart no more. Of so many, each of today's sources has one of its own."""
POSITIONS = 16
"""The last one holds every position from there on."""
REFERENCE = 0
CENTRE, SPREAD = -3.0, 2.0
"""Logits are shifted and scaled to about -2 to 2, or a gradient step would go mostly along the intercept."""
LEAST_P = 1e-6
"""Probabilities are published with six digits."""
MOST_LOGIT = 30.0
"""Beyond it a probability is 0 or 1 to a float."""
MOST_FEATURE = 8.0

LOGITS = 0
FEATURE = LOGITS + len(HEADS)
ITEM = FEATURE + len(STAND_IN)
CATEGORY = ITEM + 1
HOUR = CATEGORY + 1
SOURCE = HOUR + 4
POSITION = SOURCE + SOURCES
DEVICE = POSITION + POSITIONS
WIDTH = DEVICE + DEVICES
_LAYOUT = ("seen", HEADS, STAND_IN, FEATURES, SOURCES, POSITIONS, DEVICES, CENTRE, SPREAD, LEAST_P)
CONTRACT = hashlib.sha256(repr(_LAYOUT).encode()).hexdigest()[:12]
"""What was learned under another one can't be scored: its columns mean something else."""
_DAY_MS = 86_400_000


def logit(p: float) -> float:
    """Return the log-odds of a probability, which is taken to lie between LEAST_P and 1 - LEAST_P."""
    bounded = min(max(p, LEAST_P), 1.0 - LEAST_P)
    return math.log(bounded) - math.log1p(-bounded)


def bucket(name: str, buckets: int) -> int:
    """Return the bucket of a source or device."""
    return digest_of(name) % buckets


def moment(at_ms: int, device: str | None) -> Row:
    """Return the columns of a request: the hour of its day (UTC) as two waves, and its device."""
    angle = 2.0 * math.pi * (at_ms % _DAY_MS) / _DAY_MS
    row = {
        HOUR: math.sin(angle),
        HOUR + 1: math.cos(angle),
        HOUR + 2: math.sin(2.0 * angle),
        HOUR + 3: math.cos(2.0 * angle),
    }
    if device is not None:
        row[DEVICE + bucket(device, DEVICES)] = 1.0
    return row


def place(source: str, position: int) -> Row:
    """Return the columns of where an item came from and where it stood."""
    return {SOURCE + bucket(source, SOURCES): 1.0, POSITION + min(position, POSITIONS - 1): 1.0}


def heads(p: Sequence[float]) -> Row:
    """Return the columns of what a ranker said, `p` (H,)."""
    return {LOGITS + head: (logit(one) - CENTRE) / SPREAD for head, one in enumerate(p)}


def stand_ins(features: Sequence[float]) -> Row:
    """Return the columns that stand in for a ranker, from a row of features (F,)."""
    return {
        FEATURE + n: min(max(features[column], -MOST_FEATURE), MOST_FEATURE)
        for n, column in enumerate(STAND_IN_COLUMNS)
    }
