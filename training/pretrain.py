"""Teaches `Taste` which item comes next, from the sequences alone: softmax cross-entropy over sampled items.

    L = -log  e^{s+ - log Q(+)} / (e^{s+ - log Q(+)} + sum_j e^{s_j - log Q(j)})

The negatives j are drawn for a whole batch from Q, half of it uniform over the items and half as frequent as they are;
taking log Q off keeps the softmax that of all items (Bengio and Senecal, 2008; Yi et al., RecSys 2019). Negatives that
are the target itself don't count.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from inference.tensors import HISTORY
from training.recipe import Pretraining
from training.sequences import Sequences
from training.taste import Taste

LENGTH = 50
"""Places of a row; a longer sequence becomes several rows."""


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
    rows = sequences.windows(LENGTH, HISTORY, early=early)
    places = int((rows[:, 1:] >= 0).sum())
    if not places:
        return taste.eval()
    epochs = max(1, min(recipe.epochs, recipe.places // places))
    share = min(1.0, recipe.places / (epochs * places))
    ids, drawn_from = torch.from_numpy(sequences.ids), _proposal(rows, len(sequences.ids))
    log_q = torch.from_numpy(np.log(drawn_from * recipe.negatives)).float()
    steps = epochs * math.ceil(len(rows) * share / recipe.batch_rows)
    optimizer = torch.optim.AdamW(taste.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=steps, pct_start=recipe.warm_up
    )
    taste.train()
    for epoch in range(epochs):
        losses = []
        order = generator.permutation(len(rows))[: math.ceil(len(rows) * share)]
        for start in range(0, len(order), recipe.batch_rows):
            some = torch.from_numpy(rows[order[start : start + recipe.batch_rows]]).long()
            negatives = torch.from_numpy(generator.choice(len(drawn_from), recipe.negatives, p=drawn_from))
            loss = _loss(taste, some, negatives, ids, log_q)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        progress(f"sequences, epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}")
    return taste.eval()


def _loss(
    taste: Taste, rows: torch.Tensor, negatives: torch.Tensor, ids: torch.Tensor, log_q: torch.Tensor
) -> torch.Tensor:
    """Return the mean loss of predicting each place of rows (U, L) of item numbers, -1 for padding."""
    hashed = torch.where(rows >= 0, ids[rows.clamp_min(0)], 0)
    h = taste.along(hashed[:, :-1])  # (U, L - 1, D)
    wanted = rows[:, 1:]
    real = wanted >= 0
    h, wanted = h[real], wanted[real]  # (N, D), (N,)
    right = (h * taste.embed(ids[wanted])).sum(dim=1) + taste.bias(ids[wanted]) - log_q[wanted]  # (N,)
    others = h @ taste.embed(ids[negatives]).t() + taste.bias(ids[negatives]) - log_q[negatives]  # (N, negatives)
    others = others.masked_fill(wanted[:, None] == negatives[None, :], -1e9)
    return (functional.softplus(torch.logsumexp(others, dim=1) - right)).mean()


def _proposal(rows: NDArray[np.int32], items: int) -> NDArray[np.float64]:
    """Return Q, shape (I,)."""
    counts = np.bincount(rows[rows >= 0], minlength=items).astype(np.float64)
    q: NDArray[np.float64] = 0.5 / items + 0.5 * counts / counts.sum()
    return q
