"""Reads a user's items in their order: a transformer over item numbers, that knows every item by a row of its own.

    x_i = E[item_i];  layers: x += attention(norm(x)); x += W2 gelu(W1 norm(x));  h = norm(x);  s_j = h . E_j + b_j

Forwards, each place sees what came before it and tells the next item (SASRec, Kang and McAuley, ICDM 2018); both ways,
it tells what a mask hides (BERT4Rec, Sun et al., CIKM 2019). It is one set of weights, so the one can begin where the
other ended. Places are known by their distance, up to `HISTORY` back, as lists hold no longer histories.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference.tensors import HISTORY


@dataclass(frozen=True, slots=True)
class SequenceShape:
    """D, layers, attention heads a layer, and the share that dropout takes."""

    width: int = 64
    layers: int = 1
    heads: int = 1
    dropout: float = 0.5


class SequenceModel(nn.Module):
    """Reads sequences of item numbers (U, L), oldest first, -1 for padding behind."""

    def __init__(self, items: int, shape: SequenceShape) -> None:
        super().__init__()
        self.items, self.shape = items, shape
        """Number I is padding, I + 1 stands for a hidden item."""
        self.rows = nn.Embedding(items + 2, shape.width)
        self.bias = nn.Parameter(torch.zeros(items))
        self.layers = nn.ModuleList(_Layer(shape) for _ in range(shape.layers))
        self.norm, self.dropout = nn.LayerNorm(shape.width), nn.Dropout(shape.dropout)
        nn.init.normal_(self.rows.weight, std=0.02)

    def grown(self, known: Tensor) -> "SequenceModel":
        """Return one that knows as much, of other items: `known` (I,) are their numbers here, -1 for a new one.

        What is new is as a new model has it.
        """
        larger = SequenceModel(len(known), self.shape)
        ours = {name: tensor for name, tensor in self.state_dict().items() if name not in ("rows.weight", "bias")}
        larger.load_state_dict(ours, strict=False)
        there = torch.nonzero(known >= 0).squeeze(1)
        with torch.no_grad():
            larger.rows.weight[there] = self.rows.weight[known[there]]
            larger.rows.weight[len(known) :] = self.rows.weight[self.items :]
            larger.bias[there] = self.bias[known[there]]
        return larger

    def forward(self, numbers: Tensor, wanted: Tensor, *, both_ways: bool = False) -> Tensor:
        """Return the scores of all items at the N wanted places (U, L), (N, I)."""
        return self.logits(self.along(numbers, both_ways=both_ways)[wanted])

    def along(self, numbers: Tensor, *, both_ways: bool = False) -> Tensor:
        """Return h at each place, (U, L, D); what padding says means nothing."""
        numbers = torch.where(numbers < 0, self.items, numbers)
        steps = torch.arange(numbers.shape[1], device=numbers.device)
        back = steps[:, None] - steps[None, :]  # (L, L), how far j is before i
        near = back.abs() < HISTORY if both_ways else (back >= 0) & (back < HISTORY)
        seen = near & ((numbers != self.items).unsqueeze(1) | (back == 0))  # (U, L, L)
        x = self.dropout(self.rows(numbers))
        for layer in self.layers:
            x = layer(x, seen.unsqueeze(1), back.clamp(1 - HISTORY, HISTORY - 1) + HISTORY - 1)
        h: Tensor = self.norm(x)
        return h

    def logits(self, h: Tensor) -> Tensor:
        """Return the scores of all items, (..., I)."""
        return functional.linear(h, self.rows.weight[: self.items], self.bias)


class _Layer(nn.Module):
    def __init__(self, shape: SequenceShape) -> None:
        super().__init__()
        self.heads, self.drop = shape.heads, shape.dropout
        self.first, self.second = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.asked = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.back = nn.Parameter(torch.zeros(shape.heads, 2 * HISTORY - 1))
        self.deep = nn.Sequential(
            nn.Linear(shape.width, 4 * shape.width), nn.GELU(), nn.Dropout(shape.dropout),
            nn.Linear(4 * shape.width, shape.width),
        )  # fmt: skip
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, seen: Tensor, back: Tensor) -> Tensor:
        """Return x (U, L, D) after attention to what is seen (U, 1, L, L), with a bias by distance (L, L)."""
        u, length, width = x.shape
        asked = self.asked(self.first(x)).view(u, length, 3, self.heads, width // self.heads)
        q, k, v = asked.permute(2, 0, 3, 1, 4)  # (U, heads, L, D / heads) each
        bias = self.back[:, back].unsqueeze(0).masked_fill(~seen, -1e9)  # (U, heads, L, L)
        drop = self.drop if self.training else 0.0
        read = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), dropout_p=drop)
        x = x + self.dropout(self.out(read.transpose(1, 2).reshape(u, length, width)))
        y: Tensor = x + self.dropout(self.deep(self.second(x)))
        return y
