"""The ways to make cases of a log, one a file."""

from collections.abc import Callable

from streams.evaluation.protocols.base import Chosen, Protocol
from streams.evaluation.protocols.hidden import Hidden
from streams.evaluation.protocols.holdout_file import HoldoutFile
from streams.evaluation.protocols.holdout_last import HoldoutLast
from streams.evaluation.protocols.next_basket import NextBasket
from streams.evaluation.protocols.prequential import Prequential
from streams.evaluation.protocols.rerank import Rerank


def _made(protocol: Callable[[Chosen], Protocol]) -> Callable[[Chosen], Protocol]:
    """Return what makes a protocol as it was chosen, without the items that are to be hidden."""

    def make(chosen: Chosen) -> Protocol:
        made = protocol(chosen)
        return Hidden(made, chosen.hide, chosen.seed) if chosen.hide else made

    return make


PROTOCOLS: dict[str, Callable[[Chosen], Protocol]] = {
    "prequential": _made(Prequential),
    "next-basket": _made(NextBasket),
    "holdout-last": _made(HoldoutLast),
    "holdout-file": _made(HoldoutFile),
    "rerank": _made(Rerank),
}

__all__ = ["PROTOCOLS", "Chosen", "Protocol"]
