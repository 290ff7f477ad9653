"""The student: a small network that scores each candidate by itself, from features, hashed ids and a short history.

    u = sum_t a_t E[history_t]               a = softmax of learned weights over the places that are filled
    x = [standardised features, E[item], W E[item] * u]
    z = v x + MLP(x)                         a linear path beside layers of 96 and 48

No candidate sees another and nothing is normalised over a batch; every matrix product is over B * K rows, every sum
over the history in order: so a row's scores don't depend on what is scored with it, to the bit. In training, ids are
dropped or replaced at random, so that an item never seen before is scored by its features.

The heads are ordered, as in a proportional-odds model (McCullagh, "Regression models for ordinal data", 1980):
z_purchase = z, z_cart = z_purchase + softplus(d_1), z_click = z_cart + softplus(d_2); hence p never grows with depth.
"""

import torch
from torch import Tensor, nn

from inference.tensors import FEATURES, HASH_BUCKETS, HEADS, HISTORY

WIDTH = 8
"""Width of the id embedding; HASH_BUCKETS * WIDTH * 4 bytes are most of the model's size."""
LAYERS = (96, 48)
DROPOUT = 0.2
ID_DROPOUT = 0.2
"""Share of ids that training replaces with padding."""
ID_NOISE = 0.1
"""Share of ids that training replaces with those of a random bucket, as if an unknown item had landed there."""
CLIP = 5.0
"""Standardised features are clipped to this many deviations, so that an outlier can't dominate."""


class Student(nn.Module):
    """Maps features (B, K, F), item_ids (B, K) and history_ids (B, T) to probabilities (B, K, H)."""

    mean: Tensor
    scale: Tensor
    calibration: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(FEATURES)))
        self.register_buffer("scale", torch.ones(len(FEATURES)))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.embedding = nn.Embedding(HASH_BUCKETS, WIDTH, padding_idx=0)
        self.history_weight = nn.Parameter(torch.linspace(1.0, -1.0, HISTORY))
        self.match = nn.Linear(WIDTH, WIDTH, bias=False)
        size = len(FEATURES) + 2 * WIDTH
        self.direct = nn.Linear(size, len(HEADS))
        layers: list[nn.Module] = []
        for before, after in zip((size, *LAYERS), LAYERS, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(DROPOUT)]
        self.deep = nn.Sequential(*layers, nn.Linear(LAYERS[-1], len(HEADS)))
        nn.init.normal_(self.embedding.weight, std=0.05)
        with torch.no_grad():
            self.embedding.weight[0] = 0.0

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Set what features (F,) are normalised by; one that never varies is left out."""
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), 0.0))

    def logits(self, features: Tensor, item_ids: Tensor, history_ids: Tensor) -> Tensor:
        """Return the log-odds of each head, (B, K, H), descending with depth."""
        if self.training:
            item_ids, history_ids = _disturbed(item_ids), _disturbed(history_ids)
        item = self.embedding(item_ids)  # (B, K, D)
        filled = (history_ids > 0).float()  # (B, T)
        weights = filled * self.history_weight.exp()
        weights = weights / (weights.sum(dim=1, keepdim=True) + 1e-6)
        history = _sum_in_order(weights.unsqueeze(2) * self.embedding(history_ids))  # (B, D)
        known = ((features - self.mean) * self.scale).clamp(-CLIP, CLIP)
        x = torch.cat((known, item, self.match(item) * history.unsqueeze(1)), dim=2)
        raw = self.direct(x) + self.deep(x)  # (B, K, H)
        deepest = raw[..., -1:]
        steps = nn.functional.softplus(raw[..., :-1])
        above = steps.flip(-1).cumsum(-1).flip(-1)
        z = torch.cat((deepest + above, deepest), dim=2)
        return z * self.calibration[0] + self.calibration[1]

    def forward(self, features: Tensor, item_ids: Tensor, history_ids: Tensor) -> Tensor:
        """Return the probability of each head, (B, K, H)."""
        return torch.sigmoid(self.logits(features, item_ids, history_ids))


def _sum_in_order(terms: Tensor) -> Tensor:
    """Sum (B, T, D) over T one by one: onnxruntime's own sum rounds differently for another B."""
    total = terms[:, 0]
    for t in range(1, terms.shape[1]):
        total = total + terms[:, t]
    return total


def _disturbed(ids: Tensor) -> Tensor:
    """Drop some ids and replace some by others; padding stays padding."""
    dice = torch.rand(ids.shape)
    noise = torch.randint_like(ids, 1, HASH_BUCKETS)
    changed = torch.where(dice < ID_DROPOUT, 0, torch.where(dice < ID_DROPOUT + ID_NOISE, noise, ids))
    return torch.where(ids > 0, changed, 0)
