"""Teaches `Taste` which item comes next, from the sequences alone: softmax cross-entropy over sampled items.

    L = -log  e^{s+ - log Q(+)} / (e^{s+ - log Q(+)} + sum_j e^{s_j - log Q(j)})

The negatives j are drawn for a whole batch from Q, half of it uniform over the items and half as frequent as they are;
taking log Q off keeps the softmax that of all items (Bengio and Senecal, 2008; Yi et al., RecSys 2019). Negatives that
are the target itself don't count.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from inference.tensors import HISTORY
from training.schedule import one_cycle
from training.sequences import Sequences
from training.taste import Taste

LENGTH = 50
"""Places of a row; a longer sequence becomes several rows."""


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How to pre-train; `places` bounds how many places of sequences are predicted in all, which bounds the time."""

    epochs: int = 30
    places: int = 6_000_000
    batch_rows: int = 128
    negatives: int = 2_048
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    warm_up: float = 0.05


def pretrain(
    sequences: Sequences,
    recipe: Pretraining,
    seed: int,
    *,
    early: bool,
    progress: Callable[[str], None] = lambda line: None,
) -> Taste:
    """Return what learned the sequences, in evaluation mode; with `early` only their early part.

    Same sequences and seed: the same weights, bit for bit, on one thread.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    taste = Taste()
    rows, wanted = sequences.windows(LENGTH, HISTORY, early=early)
    places = int(wanted.sum())
    if not places:
        return taste.eval()
    epochs = max(1, min(recipe.epochs, recipe.places // places))
    share = min(1.0, recipe.places / (epochs * places))
    ids, drawn_from = torch.from_numpy(sequences.ids), _proposal(rows, len(sequences.ids))
    log_q = torch.from_numpy(np.log(drawn_from * recipe.negatives)).float()
    steps = epochs * math.ceil(len(rows) * share / recipe.batch_rows)
    optimizer = torch.optim.AdamW(taste.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = one_cycle(optimizer, recipe.learning_rate, steps, recipe.warm_up)
    taste.train()
    for epoch in range(epochs):
        losses = []
        order = generator.permutation(len(rows))[: math.ceil(len(rows) * share)]
        for start in range(0, len(order), recipe.batch_rows):
            some = order[start : start + recipe.batch_rows]
            places_of = torch.from_numpy(rows[some]).long(), torch.from_numpy(wanted[some])
            negatives = torch.from_numpy(generator.choice(len(drawn_from), recipe.negatives, p=drawn_from))
            loss = _loss(taste, *places_of, negatives, ids, log_q)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        progress(f"sequences, epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}")
    return taste.eval()


def _loss(
    taste: Taste,
    rows: torch.Tensor,
    wanted: torch.Tensor,
    negatives: torch.Tensor,
    ids: torch.Tensor,
    log_q: torch.Tensor,
) -> torch.Tensor:
    """Return the mean loss of predicting the `wanted` places of rows, both (U, L), of item numbers, -1 for padding."""
    hashed = torch.where(rows >= 0, ids[rows.clamp_min(0)], 0)
    h = taste.along(hashed[:, :-1])  # (U, L - 1, D)
    h, came = h[wanted[:, 1:]], rows[wanted]  # (N, D), (N,)
    right = (h * taste.embed(ids[came])).sum(dim=1) + taste.bias(ids[came]) - log_q[came]  # (N,)
    others = h @ taste.embed(ids[negatives]).t() + taste.bias(ids[negatives]) - log_q[negatives]  # (N, negatives)
    others = others.masked_fill(came[:, None] == negatives[None, :], -1e9)
    return (functional.softplus(torch.logsumexp(others, dim=1) - right)).mean()


def _proposal(rows: NDArray[np.int32], items: int) -> NDArray[np.float64]:
    """Return Q, shape (I,)."""
    counts = np.bincount(rows[rows >= 0], minlength=items).astype(np.float64)
    q: NDArray[np.float64] = 0.5 / items + 0.5 * counts / counts.sum()
    return q
