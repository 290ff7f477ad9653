"""Teaches `Taste` which item comes next, from the sequences alone: softmax cross-entropy over sampled items.

    L = -log  e^{s+ - log Q(+)} / (e^{s+ - log Q(+)} + sum_j e^{s_j - log Q(j)})

The negatives j are drawn for a whole batch from Q, half of it uniform over the items and half as frequent as they are;
taking log Q off keeps the softmax that of all items (Bengio and Senecal, 2008; Yi et al., RecSys 2019). Negatives that
are the target itself don't count. For each batch some items with a code lose their ids, as if they were new: so codes
learn to stand in for an id (as DropoutNet, Volkovs et al., NIPS 2017).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inference.tensors import HISTORY
from training.phases import Watch, draws, number
from training.recipe import Pretraining
from training.schedule import one_cycle
from training.sequences import Part, Sequences
from training.taste import SEEN_ROWS, Taste

LENGTH = 50
"""Places of a row; a longer sequence becomes several rows."""


def pretrain(
    sequences: Sequences,
    recipe: Pretraining,
    seed: int,
    *,
    part: Part,
    watch: Watch | None = None,
    base: Taste | None = None,
) -> Taste:
    """Return what learned a part of the sequences, in evaluation mode.

    With `base` it learns on from there, and knows what that knew.
    Same sequences and seed: the same weights, bit for bit, on one thread.
    """
    watch = watch or Watch()
    torch.manual_seed(seed)
    taste = Taste()
    if base is not None:
        taste.load_state_dict(base.state_dict())
    rows, wanted = sequences.windows(LENGTH, HISTORY, part)
    places = int(wanted.sum())
    if not places:
        return taste.eval()
    epochs = max(1, min(recipe.epochs, recipe.places // places))
    share = min(1.0, recipe.places / (epochs * places))
    items, drawn_from = _Items.of(sequences), _proposal(rows, len(sequences.ids))
    log_q = torch.from_numpy(np.log(drawn_from * recipe.negatives)).float()
    batches = math.ceil(math.ceil(len(rows) * share) / recipe.batch_rows)
    optimizer = torch.optim.AdamW(
        taste.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = one_cycle(optimizer, recipe.learning_rate, epochs * batches, recipe.warm_up)
    name = f"sequences_{part}"
    phase = watch.phase(name, taste, optimizer, schedule, batches)
    taste.train()
    for epoch in range(phase.epoch, epochs):
        losses = []
        generator = draws(seed, epoch)
        order = generator.permutation(len(rows))[: math.ceil(len(rows) * share)]
        for start in range(0, len(order), recipe.batch_rows):
            some = order[start : start + recipe.batch_rows]
            longest = int((rows[some] >= 0).sum(axis=1).max())  # most rows are short, and padding costs as much
            places_of = torch.from_numpy(rows[some, :longest]).long(), torch.from_numpy(wanted[some, :longest])
            negatives = torch.from_numpy(generator.choice(len(drawn_from), recipe.negatives, p=drawn_from))
            loss = _loss(taste, *places_of, negatives, items.hidden(recipe.id_dropout, generator), log_q)
            losses.append(number(loss, f"sequences ({part}), epoch {epoch + 1}"))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        phase.keep()
        watch.scalars(f"{name}/loss", float(np.mean(losses)), epoch + 1)
        watch.progress(f"sequences ({part}), epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}")
    optimizer.zero_grad(set_to_none=True)  # or the student's gradients would be clipped by what is left here
    if base is None:
        taste.seen.zero_()
    taste.seen[items.ids[np.unique(rows[rows >= 0])] % SEEN_ROWS] = 1
    return taste.eval()


@dataclass(frozen=True, slots=True)
class _Items:
    """The items by number: `ids` (I,), `codes` (I, C), and `known` (I,), 0 where only the code may be gone by."""

    ids: Tensor
    codes: Tensor
    known: Tensor

    @classmethod
    def of(cls, sequences: Sequences) -> "_Items":
        return cls(torch.from_numpy(sequences.ids), torch.from_numpy(sequences.codes), torch.ones(len(sequences.ids)))

    def hidden(self, share: float, generator: np.random.Generator) -> "_Items":
        """Return them with the ids of a share of those that have a code unknown; draws nothing if none has one."""
        coded = self.codes[:, 0] > 0
        if not coded.any():
            return self
        kept = torch.from_numpy(generator.random(len(self.ids)) >= share)
        return replace(self, known=(kept | ~coded).float())

    def at(self, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `Taste.embed` takes of these numbers (...), -1 for padding."""
        real, place = numbers >= 0, numbers.clamp_min(0)
        return torch.where(real, self.ids[place], 0), self.codes[place] * real.unsqueeze(-1), self.known[place]


def _loss(taste: Taste, rows: Tensor, wanted: Tensor, negatives: Tensor, items: _Items, log_q: Tensor) -> Tensor:
    """Return the mean loss of predicting the `wanted` places of rows, both (U, L), of item numbers, -1 for padding."""
    h = taste.along(*items.at(rows[:, :-1]))  # (U, L - 1, D)
    h, next_ = h[wanted[:, 1:]], rows[wanted]  # (N, D), (N,)
    came, drawn = items.at(next_), items.at(negatives)
    right = (h * taste.embed(*came)).sum(dim=1) + taste.bias(*came) - log_q[next_]  # (N,)
    others = torch.addmm(taste.bias(*drawn) - log_q[negatives], h, taste.embed(*drawn).t())  # (N, negatives)
    others.masked_fill_(next_[:, None] == negatives[None, :], -1e9)
    return (functional.softplus(torch.logsumexp(others, dim=1) - right)).mean()


def _proposal(rows: NDArray[np.int32], items: int) -> NDArray[np.float64]:
    """Return Q, shape (I,)."""
    counts = np.bincount(rows[rows >= 0], minlength=items).astype(np.float64)
    q: NDArray[np.float64] = 0.5 / items + 0.5 * counts / counts.sum()
    return q
