"""What a user is after, from the order of the latest items: one layer of self-attention over hashed ids.

    x_i = E1[id_i mod P1] + E2[id_i mod P2]
    c   = x_0 + Wo sum_j softmax_j(q(x_0) k(x_j) / sqrt(D) + r_j) v(x_j)        0 is the latest item, j steps back
    h   = c + W2 relu(W1 norm(c)),   score(item) = norm(h) E(item) + b(item)

SASRec (Kang and McAuley, ICDM 2018) with one layer, relative positions, and two hashed tables in place of one row an
item (Tito Svenstrup et al., "Hash embeddings", NIPS 2017): an unknown item has a place, and the size is fixed.

A row's result doesn't depend on its batch, to the bit: onnxruntime multiplies a single row in another way than
many, so what there is once a row is multiplied row by row (`_each`), and sums over the history are written out.
"""

import math

import torch
from torch import Tensor, nn

from inference.tensors import HISTORY

TABLES = (16_381, 16_369)
"""Rows of the two tables, primes: two items share both rows only if their ids differ by a multiple of the product."""
WIDTH = 32
DROPOUT = 0.3


class Taste(nn.Module):
    """Scores items (B, K) after a history (B, T), newest first, both hashed ids with 0 for padding."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, WIDTH) for rows in TABLES)
        self.biases = nn.ModuleList(nn.Embedding(rows, 1) for rows in TABLES)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.back = nn.Parameter(torch.zeros(HISTORY))
        self.inner, self.outer = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        for table, bias in zip(self.tables.parameters(), self.biases.parameters(), strict=True):
            nn.init.normal_(table, std=0.1)
            nn.init.zeros_(bias)

    def embed(self, ids: Tensor) -> Tensor:
        """Return the vectors of hashed ids, (..., D)."""
        first, second = (table(ids % rows) for table, rows in zip(self.tables, TABLES, strict=True))
        both: Tensor = first + second
        return both

    def bias(self, ids: Tensor) -> Tensor:
        """Return how wanted items are whatever came before, (...)."""
        first, second = (table(ids % rows) for table, rows in zip(self.biases, TABLES, strict=True))
        both: Tensor = first + second
        return both.squeeze(-1)

    def along(self, ids: Tensor) -> Tensor:
        """Return h at every place of sequences (U, L), oldest first, each from what is up to there: for training."""
        length = ids.shape[1]
        x = self.dropout(self.embed(ids))  # (U, L, D)
        steps = torch.arange(length)
        back = steps[:, None] - steps[None, :]  # (L, L)
        seen = (back >= 0) & (back < HISTORY) & (ids > 0).unsqueeze(1)  # (U, L, L)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH) + self.back[back.clamp(0, HISTORY - 1)]
        weights = scores.masked_fill(~seen, -1e9).softmax(dim=2)
        c = x + self.out(weights @ self.value(x))
        h: Tensor = self.outer(c + self.down(self.dropout(torch.relu(self.up(self.inner(c))))))
        return h

    def after(self, history_ids: Tensor) -> Tensor:
        """Return h after histories (B, T), newest first, as (B, 1, D); 0 after an empty one."""
        x = self.embed(history_ids)  # (B, T, D)
        latest = x[:, :1]
        filled = (history_ids > 0).unsqueeze(1)  # (B, 1, T)
        scores = _each(latest, self.query.weight) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH) + self.back
        weights = scores.masked_fill(~filled, -1e9).softmax(dim=2)  # (B, 1, T)
        c = latest + _each(weights @ self.value(x), self.out.weight)
        up = torch.relu(_each(self.inner(c), self.up.weight) + self.up.bias)
        h: Tensor = self.outer(c + _each(up, self.down.weight) + self.down.bias)
        return h * filled[..., :1]

    def forward(self, history_ids: Tensor, item_ids: Tensor) -> Tensor:
        """Return the score of each item, (B, K)."""
        h = self.after(history_ids)
        return (self.embed(item_ids) @ h.transpose(1, 2)).squeeze(2) + self.bias(item_ids)


def _each(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply (B, 1, D) by a weight (M, D) for each row by itself, (B, 1, M)."""
    return x @ weight.t().unsqueeze(0).expand(x.shape[0], -1, -1)
