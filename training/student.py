"""The student: a small network that scores each candidate by itself, from counts, features, text and a history.

    f = log(e^c + sum_s g^s (F_s + beta B_s)^damp / ((n_s + 1)^a (n + 1)^b))     the streaming heuristic, learned
    t = trust * taste(history, item)                                              `taste.py`: ids, semantic codes
    z = v_0 f + v_1 t + v x + MLP(x, f, t)                                        x: standardised features

f is the formula that `streams/retrieval/related.py` and the evaluation's heuristic use, with parameters learned on the
lists rather than set: where behaviour is all there is, nothing simple is better, so the network begins there.

No candidate sees another and nothing is normalised over a batch: a row's scores don't depend on what is scored with it.
The heads are ordered, as in a proportional-odds model (McCullagh, "Regression models for ordinal data", 1980):
z_purchase = z, z_cart = z_purchase + softplus(d_1), z_click = z_cart + softplus(d_2); hence p never grows with depth.
"""

import math

import torch
from torch import Tensor, nn

from inference.tensors import FEATURES, HEADS, SEEDS
from training.taste import Taste

LAYERS = (96, 48)
DROPOUT = 0.2
TASTE_DROPOUT = 0.3
"""Share of lists in which training leaves the taste out, so that the rest can stand alone."""
CLIP = 5.0
"""Standardised features are clipped to this many deviations, so that an outlier can't dominate."""
UNSEEN_STEP = 3.0
"""Log-odds between a head that has labels and a deeper one that has none in the whole log."""
_LANES = 16
_POPULAR = FEATURES.index("popular")


class Student(nn.Module):
    """Maps the inputs of the tensor contract to probabilities (B, K, H)."""

    mean: Tensor
    scale: Tensor
    calibration: Tensor
    labelled: Tensor
    trust: Tensor

    def __init__(self, taste: Taste | None = None) -> None:
        super().__init__()
        self.taste = taste or Taste()
        self.register_buffer("mean", torch.zeros(len(FEATURES) + 2))
        self.register_buffer("scale", torch.ones(len(FEATURES) + 2))
        self.register_buffer("calibration", torch.tensor([1.0, 0.0]))
        self.register_buffer("labelled", torch.ones(len(HEADS)))
        self.register_buffer("trust", torch.tensor(1.0))
        self.heuristic = Heuristic()
        size = len(FEATURES) + 2
        self.direct = nn.Linear(size, len(HEADS))
        self.first = nn.Parameter(torch.tensor([1.0, 0.1]))
        layers: list[nn.Module] = []
        for before, after in zip((size, *LAYERS), LAYERS, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(DROPOUT)]
        self.deep = nn.Sequential(*layers, nn.Linear(LAYERS[-1], len(HEADS)))
        with torch.no_grad():
            self.direct.weight.zero_()
            self.deep[-1].weight.mul_(0.1)  # type: ignore[operator]

    def begin(self, mean: Tensor, deviation: Tensor, rate: float, labelled: int) -> None:
        """Set what x, f and t (F + 2,) are normalised by, and where learning begins.

        One that never varies is left out. `rate` is the share of candidates that were wanted; the first `labelled`
        heads have labels.
        """
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1.0 / deviation.clamp_min(1e-6), 0.0))
        self.labelled.copy_((torch.arange(len(HEADS)) < labelled).float())
        with torch.no_grad():
            above = UNSEEN_STEP * (len(HEADS) - labelled)
            self.direct.bias[-1] = math.log(rate / (1 - rate)) - above - self.first @ mean[-2:]

    def signals(
        self,
        features: Tensor,
        pairs: Tensor,
        seeds: Tensor,
        item_ids: Tensor,
        history_ids: Tensor,
        item_codes: Tensor,
        history_codes: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return f and t, (B, K) each, from the inputs of the contract; the taste learns nothing here."""
        with torch.no_grad():
            taste = self.taste(history_ids, item_ids, history_codes, item_codes)
        return self.heuristic(pairs, seeds, features[..., _POPULAR]), self.trust * taste

    def logits(self, features: Tensor, *others: Tensor) -> Tensor:
        """Return the log-odds of each head, (B, K, H), descending with depth, from the inputs of the contract."""
        f, t = self.signals(features, *others)
        if self.training:
            t = t * (torch.rand(len(t), 1) >= TASTE_DROPOUT)
        x = torch.cat((features, f.detach().unsqueeze(2), t.unsqueeze(2)), dim=2)
        x = ((x - self.mean) * self.scale).clamp(-CLIP, CLIP)
        raw = self.direct(x) + self.deep(x)  # (B, K, H)
        deepest = (raw[..., -1] + self.first[0] * f + self.first[1] * t).unsqueeze(2)
        steps = torch.where(self.labelled[1:] > 0, nn.functional.softplus(raw[..., :-1]), UNSEEN_STEP)
        above = steps.flip(-1).cumsum(-1).flip(-1)
        z = torch.cat((deepest + above, deepest), dim=2)
        return z * self.calibration[0] + self.calibration[1]

    def forward(
        self,
        features: Tensor,
        pairs: Tensor,
        seeds: Tensor,
        item_ids: Tensor,
        history_ids: Tensor,
        item_codes: Tensor,
        history_codes: Tensor,
    ) -> Tensor:
        """Return the probability of each head, (B, K, H)."""
        return torch.sigmoid(self.logits(features, pairs, seeds, item_ids, history_ids, item_codes, history_codes))


class Heuristic(nn.Module):
    """f of the module: pairs (B, K, 2 * SEEDS), seeds (B, SEEDS) and log1p of popularity (B, K) to (B, K)."""

    def __init__(self) -> None:
        super().__init__()
        # In logits and logs, so that any value is a valid parameter.
        self.decay, self.beta = nn.Parameter(torch.tensor(0.85)), nn.Parameter(torch.tensor(-0.9))
        self.seed_power, self.item_power = nn.Parameter(torch.tensor(-1.0)), nn.Parameter(torch.tensor(-2.0))
        self.damp, self.floor = nn.Parameter(torch.tensor(2.0)), nn.Parameter(torch.tensor(-5.0))

    def forward(self, pairs: Tensor, seeds: Tensor, log_popular: Tensor) -> Tensor:
        """Return the learned heuristic."""
        both = pairs[..., :SEEDS] + torch.exp(self.beta) * pairs[..., SEEDS:]  # (B, K, S)
        damped = torch.where(both > 0, both.clamp_min(1e-6) ** torch.sigmoid(self.damp), 0.0)
        # In rows of _LANES: onnxruntime rounds what is left over from a vector register in another way.
        wide = torch.log1p(nn.functional.pad(seeds, (0, -SEEDS % _LANES)))
        steps = torch.arange(wide.shape[1], dtype=torch.float32)
        said = torch.exp(nn.functional.logsigmoid(self.decay) * steps - torch.exp(self.seed_power) * wide)  # (B, >= S)
        heard = torch.exp(-torch.exp(self.item_power) * log_popular)  # (B, K)
        terms = damped * said[:, :SEEDS].unsqueeze(1)
        total = terms[..., 0]
        for s in range(1, SEEDS):  # in order: a sum of onnxruntime's own rounds differently for another B
            total = total + terms[..., s]
        f: Tensor = torch.log(total * heard + torch.exp(self.floor))
        return f
