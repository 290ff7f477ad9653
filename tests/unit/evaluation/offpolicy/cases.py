"""Rounds as arrays, drawn by a fixed seed: what our estimators and those of `obp` are asked about alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.evaluation.offpolicy.estimators import Rounds

ROUNDS, ACTIONS, POSITIONS, SLATES = 300, 6, 3, 200
SWITCH_AT = 2.0


@dataclass(frozen=True)
class Bandit:
    """N rounds of one position each; `chances` and `worth` are (N, actions, positions)."""

    rewards: Any
    actions: Any
    positions: Any
    propensities: Any
    chances: Any
    worth: Any

    def rounds(self) -> Rounds:
        n = np.arange(ROUNDS)
        chances = self.chances[n, self.actions, self.positions]
        return Rounds(
            offsets=np.arange(ROUNDS + 1),
            ratios=chances / self.propensities,
            rewards=self.rewards.astype(float),
            modelled=self.worth[n, self.actions, self.positions],
            expected=(self.chances * self.worth).sum(axis=1)[n, self.positions],
            chances=chances,
            draws=np.full(ROUNDS, 0.5),
        )


def bandit(*, certain: bool = False) -> Bandit:
    """Return rounds; with a policy that is `certain` of one action each, as the replay method wants it."""
    drawn = np.random.default_rng(7)
    actions, positions = drawn.integers(0, ACTIONS, ROUNDS), drawn.integers(0, POSITIONS, ROUNDS)
    chances = drawn.dirichlet(np.ones(ACTIONS), (ROUNDS, POSITIONS)).transpose(0, 2, 1)
    if certain:
        chances = (chances == chances.max(axis=1, keepdims=True)).astype(float)
    return Bandit(
        rewards=(drawn.random(ROUNDS) < 0.3).astype(int),
        actions=actions,
        positions=positions,
        propensities=drawn.uniform(0.05, 0.9, ROUNDS),
        chances=chances,
        worth=drawn.random((ROUNDS, ACTIONS, POSITIONS)),
    )


@dataclass(frozen=True)
class Slates:
    """Slates of `POSITIONS`; `chances` and `propensities` are of each position, those above given: (N,)."""

    rewards: Any
    propensities: Any
    chances: Any

    def rounds(self) -> Rounds:
        nothing = np.zeros(len(self.rewards))
        return Rounds(
            offsets=np.arange(0, len(self.rewards) + 1, POSITIONS),
            ratios=self.chances / self.propensities,
            rewards=self.rewards.astype(float),
            modelled=nothing,
            expected=nothing,
            chances=self.chances.reshape(-1, POSITIONS).prod(axis=1),
            draws=np.full(SLATES, 0.5),
        )


def slates() -> Slates:
    drawn = np.random.default_rng(8)
    size = SLATES * POSITIONS
    rewards = (drawn.random(size) < 0.2).astype(int)
    return Slates(rewards, drawn.uniform(0.1, 0.9, size), drawn.uniform(0.1, 0.9, size))
