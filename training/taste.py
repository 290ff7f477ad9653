"""What a user is after, from the order of the latest items: one layer of self-attention over hashed ids and codes.

    x_i = known_i (E1[id_i mod P1] + E2[id_i mod P2]) + sum_l Ec[l, code_il]
    c   = x_0 + Wo sum_j softmax_j(q(x_0) k(x_j) / sqrt(D) + r_j) v(x_j)        0 is the latest item, j steps back
    h   = c + W2 relu(W1 norm(c)),   score(item) = norm(h) E(item) + b(item)

SASRec (Kang and McAuley, ICDM 2018) with one layer, relative positions, and two hashed tables in place of one row an
an item (Tito Svenstrup et al., "Hash embeddings", NIPS 2017): an unknown item has a place, and the size is fixed.
The semantic code of an item's text adds a vector a level (Singh et al., "Better generalization with semantic ids",
RecSys 2024). An item with a code that was never learned from has only that: its rows in E1 and E2 are other items'.
Without codes nothing of this has a part in a result.

A row's result doesn't depend on its batch, to the bit: onnxruntime multiplies a single row in another way than
many, so what there is once a row is multiplied row by row (`_each`), and sums over the history are written out.
"""

import math

import torch
from torch import Tensor, nn

from inference.tensors import CODE_LEVELS, CODES, HISTORY

TABLES = (16_381, 16_369)
"""Rows of the two tables, primes: two items share both rows only if their ids differ by a multiple of the product."""
SEEN_ROWS = 262_139
"""Rows that tell which ids were learned from, a prime: with n of them, n / SEEN_ROWS of the others pass for known."""
WIDTH = 32
DROPOUT = 0.3
_NO_CODE = 0


class Taste(nn.Module):
    """Scores items (B, K) after a history (B, T), newest first, both hashed ids with 0 for padding, and their codes.

    Codes are (..., C). `seen` (SEEN_ROWS,) is 1 where an id was learned from; a new taste takes all for known.
    """

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.ones(SEEN_ROWS, dtype=torch.uint8))
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
        # Row 0 is "no code". They start at what draws nothing from the generator: without codes all is as it was.
        start = torch.randn(1 + CODE_LEVELS * CODES, WIDTH, generator=torch.Generator().manual_seed(0))
        start[_NO_CODE] = 0.0
        self.content, self.content_bias = _table(0.05 * start), _table(torch.zeros(len(start), 1))

    def known(self, ids: Tensor, codes: Tensor) -> Tensor:
        """Return 1 where the id says something, (...): it was learned from, or there is no code to go by."""
        return torch.maximum(self.seen[(ids % SEEN_ROWS).long()].float(), (codes[..., 0] == _NO_CODE).float())

    def embed(self, ids: Tensor, codes: Tensor, known: Tensor) -> Tensor:
        """Return the vectors of items, (..., D)."""
        return _looked_up(self.tables, self.content, ids, codes, known)

    def bias(self, ids: Tensor, codes: Tensor, known: Tensor) -> Tensor:
        """Return how wanted items are whatever came before, (...)."""
        return _looked_up(self.biases, self.content_bias, ids, codes, known).squeeze(-1)

    def along(self, ids: Tensor, codes: Tensor, known: Tensor) -> Tensor:
        """Return h at every place of sequences (U, L), oldest first, each from what is up to there: for training."""
        length = ids.shape[1]
        x = self.dropout(self.embed(ids, codes, known))  # (U, L, D)
        steps = torch.arange(length)
        back = steps[:, None] - steps[None, :]  # (L, L)
        seen = (back >= 0) & (back < HISTORY) & (ids > 0).unsqueeze(1)  # (U, L, L)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH) + self.back[back.clamp(0, HISTORY - 1)]
        weights = scores.masked_fill(~seen, -1e9).softmax(dim=2)
        c = x + self.out(weights @ self.value(x))
        h: Tensor = self.outer(c + self.down(self.dropout(torch.relu(self.up(self.inner(c))))))
        return h

    def after(self, history_ids: Tensor, history_codes: Tensor) -> Tensor:
        """Return h after histories (B, T), newest first, as (B, 1, D); 0 after an empty one."""
        x = self.embed(history_ids, history_codes, self.known(history_ids, history_codes))  # (B, T, D)
        latest = x[:, :1]
        filled = (history_ids > 0).unsqueeze(1)  # (B, 1, T)
        scores = _each(latest, self.query.weight) @ self.key(x).transpose(1, 2) / math.sqrt(WIDTH) + self.back
        weights = scores.masked_fill(~filled, -1e9).softmax(dim=2)  # (B, 1, T)
        c = latest + _each(weights @ self.value(x), self.out.weight)
        up = torch.relu(_each(self.inner(c), self.up.weight) + self.up.bias)
        h: Tensor = self.outer(c + _each(up, self.down.weight) + self.down.bias)
        return h * filled[..., :1]

    def forward(self, history_ids: Tensor, item_ids: Tensor, history_codes: Tensor, item_codes: Tensor) -> Tensor:
        """Return the score of each item, (B, K)."""
        h = self.after(history_ids, history_codes)
        items = item_ids, item_codes, self.known(item_ids, item_codes)
        return (self.embed(*items) @ h.transpose(1, 2)).squeeze(2) + self.bias(*items)


def _table(weight: Tensor) -> nn.Embedding:
    """Return a table that starts at these rows; that of no code stays as it is."""
    table: nn.Embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
        weight, freeze=False, padding_idx=_NO_CODE
    )
    return table


def _looked_up(tables: nn.ModuleList, content: nn.Embedding, ids: Tensor, codes: Tensor, known: Tensor) -> Tensor:
    """Return what the tables say of ids where they are known, and what `content` says of their codes."""
    first, second = (table(ids % rows) for table, rows in zip(tables, TABLES, strict=True))
    total: Tensor = (first + second) * known.unsqueeze(-1)
    for level in range(CODE_LEVELS):  # in order, as every sum here
        code = codes[..., level]
        total = total + content(torch.where(code == _NO_CODE, _NO_CODE, code + level * CODES))
    return total


def _each(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply (B, 1, D) by a weight (M, D) for each row by itself, (B, 1, M)."""
    return x @ weight.t().unsqueeze(0).expand(x.shape[0], -1, -1)
