"""What an evaluation is made of: cases to predict, policies that rank for them, and signals that policies learn from.

A protocol walks a log in order. It hands every signal to each policy (`learn`) and asks them about cases (`rank`) in
between, so a policy knows exactly what came before a case. Adding a baseline: a file, and a line in `baselines`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that a user did with an item; `basket` is the same for the lines of one order."""

    user_id: str
    item_id: str
    at_ms: int
    kind: str
    basket: str


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to predict: what `user_id` goes on to after `history`, as of `at_ms`.

    `history` holds the user's latest items, oldest first; the last `unlearned` of them taught nobody anything.
    `targets` are the different items that came, in order, at least one, by signals of `kind`. What is in `masked` must
    not be recommended. `given` are the only items to rank, if not empty.
    """

    user_id: str
    at_ms: int
    history: Sequence[str]
    targets: Sequence[str]
    masked: frozenset[str] = frozenset()
    unlearned: int = 0
    given: Sequence[str] = ()
    kind: str = "click"

    @property
    def fresh(self) -> bool:
        """Whether nothing is known of the user but `history`, and nobody learned that."""
        return 0 < self.unlearned == len(self.history)


class Policy(Protocol):
    """A way to rank the catalogue. Deterministic; its memory is bounded by users and items, not by the log."""

    name: str
    """Its row in the results."""

    def learn(self, signal: Signal) -> None:
        """Take in one signal; they come in the order of the log."""
        ...

    def rank(self, case: Case, k: int) -> list[str]:
        """Return up to `k` different items, best first, none of `case.masked`; it learns nothing from the case."""
        ...
