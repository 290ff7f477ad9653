"""Policies to be evaluated, each described by a TOML file: `policy = "random"` and what belongs to it.

A policy says with which chance it would have shown what the log shows, given the items above, and what it would have
shown instead on the average. One class a policy; adding one: a class, and its place in `Policy`.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
from msgspec import Struct

from streams.errors import Misuse
from streams.evaluation.offpolicy.log import Log, Values, load
from streams.evaluation.offpolicy.ranker import Ranker

THOMPSON_DRAWS = 100_000
_DRAWS_AT_ONCE = 5_000
_NOTHING_LEFT = 1e-12


@dataclass(frozen=True, slots=True)
class Applied:
    """A policy on a log: `chances` (N,) of each item shown, given those above it.

    `expected` takes the worth of items by position, (items, positions), and returns the mean worth (N,) of what the
    policy would show at each position of the log, given the items above.
    """

    chances: Values
    expected: Callable[[Values], Values]


class Logged(Struct, frozen=True, forbid_unknown_fields=True, tag_field="policy", tag="logged"):
    """The policy that made the log: its value is the mean reward."""

    def apply(self, log: Log, seed: int) -> Applied:
        """Take the log's own propensities; what was shown stands for what would have been."""
        return Applied(log.propensities, lambda worth: worth[log.items, log.positions])


class Random(Struct, frozen=True, forbid_unknown_fields=True, tag_field="policy", tag="random"):
    """Any item that isn't above, with the same chance."""

    def apply(self, log: Log, seed: int) -> Applied:
        """Draw evenly from all items of the log."""
        return by_table(log, np.full((len(log.item_ids), log.depth), 1 / len(log.item_ids)))


class Frequencies(Struct, frozen=True, forbid_unknown_fields=True, tag_field="policy", tag="frequencies"):
    """What another log shows on the average: how often which item is at which position of `log`."""

    log: str

    def apply(self, log: Log, seed: int) -> Applied:
        """Count in the other log; an item that it never shows has no chance.

        Raises:
            Misuse: the other log can't be read, or shows an item of which this one doesn't know.
        """
        other = load(Path(self.log))
        numbers = {item: number for number, item in enumerate(log.item_ids)}
        unknown = [other.item_ids[item] for item in np.unique(other.items) if other.item_ids[item] not in numbers]
        if unknown:
            raise Misuse(
                f"{self.log}: shows item {unknown[0]!r}, which is neither in {log.path} nor in items.jsonl there"
            )
        where = np.array([numbers.get(item, -1) for item in other.item_ids])[other.items]
        table = np.zeros((len(log.item_ids), max(log.depth, other.depth)))
        np.add.at(table, (where, other.positions), 1.0)
        return by_table(log, table / np.maximum(table.sum(axis=0), 1.0))


class Thompson(Struct, frozen=True, forbid_unknown_fields=True, tag_field="policy", tag="thompson"):
    """Bernoulli Thompson sampling: items in the order of draws from Beta(alpha, beta), both by item id."""

    alpha: dict[str, float]
    beta: dict[str, float]

    def apply(self, log: Log, seed: int) -> Applied:
        """Estimate from draws which item comes to which position.

        Raises:
            Misuse: an item of the log has no prior, or one that isn't finite and above 0.
        """
        for name, prior in (("alpha", self.alpha), ("beta", self.beta)):
            missing = [item for item in log.item_ids if not 0 < prior.get(item, 0) < np.inf]
            if missing:
                raise Misuse(f"{name}: item {missing[0]!r} of {log.path} has no finite number above 0 there")
        alpha, beta = (np.array([prior[item] for item in log.item_ids]) for prior in (self.alpha, self.beta))
        generator, counts = np.random.default_rng(seed), np.zeros((len(alpha), log.depth))
        for _ in range(THOMPSON_DRAWS // _DRAWS_AT_ONCE):
            drawn = generator.beta(alpha, beta, (_DRAWS_AT_ONCE, len(alpha)))
            best = np.argsort(-drawn, axis=1)[:, : log.depth]
            for position in range(best.shape[1]):
                counts[:, position] += np.bincount(best[:, position], minlength=len(alpha))
        return by_table(log, counts / THOMPSON_DRAWS)


class Ranked(Ranker, frozen=True, forbid_unknown_fields=True, tag_field="policy", tag="ranker"):
    """What each slate shows, in the order of a ranker: see `streams/evaluation/offpolicy/ranker.py`."""

    def apply(self, log: Log, seed: int) -> Applied:
        """Rank each slate of the log.

        Raises:
            Misuse: a slate can't be ranked again: it shows only some of its candidates, or has no features.
            BadModel: the model can't be read.
        """
        slates = self.rank(log)

        def expected(worth: Values) -> Values:
            rows = zip(slates, log.offsets[:-1], log.offsets[1:], strict=True)
            return np.concatenate(
                [np.einsum("ji,ij->j", one, worth[log.items[a:b]][:, log.positions[a:b]]) for one, a, b in rows]
            )

        return Applied(np.concatenate([np.diagonal(one) for one in slates]), expected)


Policy = Logged | Random | Frequencies | Thompson | Ranked


def read_policy(path: Path) -> Policy:
    """Read the description of a policy.

    Raises:
        Misuse: the file can't be read, or describes none; names the field.
    """
    try:
        described = tomllib.loads(path.read_text("utf-8"))
        policy: Policy = msgspec.convert(described, Policy)
    except OSError as exc:
        raise Misuse(f"{path}: cannot read the policy: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise Misuse(f"{path}: not a TOML file: {exc}") from exc
    except msgspec.ValidationError as exc:
        names = ", ".join(str(kind.__struct_config__.tag) for kind in get_args(Policy))
        raise Misuse(f"{path}: {exc} (policy is one of {names})") from exc
    return policy


def by_table(log: Log, table: Values) -> Applied:
    """Apply a policy that draws each position from the items that aren't above by `table` (items, positions)."""
    everything = table.sum(axis=0)
    left = everything[log.positions] - _above(log, table)
    possible = left > _NOTHING_LEFT
    left = np.where(possible, left, 1.0)

    def expected(worth: Values) -> Values:
        weighted = table[:, : worth.shape[1]] * worth
        means: Values = (weighted.sum(axis=0)[log.positions] - _above(log, weighted)) / left
        return means

    return Applied(np.where(possible, table[log.items, log.positions] / left, 0.0), expected)


def _above(log: Log, table: Values) -> Values:
    """Return for each item shown the sum, at its position, of those above it in the slate: (N,)."""
    sums = np.zeros(len(log.items))
    for start, end in zip(log.offsets[:-1].tolist(), log.offsets[1:].tolist(), strict=True):
        if end - start > 1:
            here = table[log.items[start:end]][:, log.positions[start:end]]
            sums[start:end] = np.triu(here, 1).sum(axis=0)
    return sums
