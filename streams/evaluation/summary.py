"""One policy's rankings as a dict of plain numbers for a result file, rounded to six digits."""

from collections.abc import Mapping, Sequence
from typing import Any

from streams.evaluation.base import Case
from streams.evaluation.beyond import beyond
from streams.evaluation.groups import by_item_group, by_user_group
from streams.evaluation.intervals import intervals
from streams.evaluation.metrics import measure

DIGITS = 6


def summarise(
    rankings: Sequence[Sequence[str]],
    cases: Sequence[Case],
    k: int,
    *,
    seed: int,
    popularity: Mapping[str, int],
    categories: Mapping[str, str],
) -> dict[str, Any]:
    """Return means at the top, `intervals` (95 %, over users), `by_user_group` and `by_item_group`."""
    values = measure(rankings, cases, k)
    sure = intervals(values, [case.user_id for case in cases], seed)
    means = {name: one.mean for name, one in sure.items()} | beyond(rankings, popularity, categories, k)
    return {name: round(mean, DIGITS) for name, mean in means.items()} | {
        "intervals": {name: [round(one.low, DIGITS), round(one.high, DIGITS)] for name, one in sure.items()},
        "by_user_group": by_user_group(values, cases),
        "by_item_group": by_item_group(rankings, cases, popularity, k),
    }
