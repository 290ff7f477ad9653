"""The ways to make cases of a log, one a file."""

from collections.abc import Callable

from streams.evaluation.protocols.base import Chosen, Protocol
from streams.evaluation.protocols.holdout_file import HoldoutFile
from streams.evaluation.protocols.holdout_last import HoldoutLast
from streams.evaluation.protocols.next_basket import NextBasket
from streams.evaluation.protocols.prequential import Prequential
from streams.evaluation.protocols.rerank import Rerank

PROTOCOLS: dict[str, Callable[[Chosen], Protocol]] = {
    "prequential": Prequential,
    "next-basket": NextBasket,
    "holdout-last": HoldoutLast,
    "holdout-file": HoldoutFile,
    "rerank": Rerank,
}

__all__ = ["PROTOCOLS", "Chosen", "Protocol"]
