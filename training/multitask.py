"""One loss of three: click, cart and purchase, by fixed weights, or weighed by how uncertain each is.

    fixed        L = sum_h w_h L_h / sum_h w_h
    uncertainty  L = sum_h e^{-s_h} L_h + s_h / 2,    s_h learned, log of a variance

The second is that of Kendall, Gal and Cipolla (CVPR 2018) for classification: a task that stays hard gets less weight,
and the s_h / 2 keep all from getting none. Heads without a label in the data have no say.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from training.losses import loss

Weighting = Literal["fixed", "uncertainty"]


class MultiTask(nn.Module):
    """Weighs the losses of heads; `labelled` counts the heads, from the first, that have labels."""

    weights: Tensor

    def __init__(self, weighting: Weighting, weights: tuple[float, ...], labelled: int, listwise: float) -> None:
        super().__init__()
        self.labelled, self.listwise = labelled, listwise
        self.register_buffer("weights", torch.tensor(weights[:labelled]) / sum(weights[:labelled]))
        self.log_variance = nn.Parameter(torch.zeros(labelled)) if weighting == "uncertainty" else None

    def forward(self, logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of logits and labels (B, K, H), weights (B, K), as `losses.loss`.

        >>> one = MultiTask("fixed", (1.0, 1.0, 1.0), 3, 0.0)
        >>> round(one(torch.zeros(1, 2, 3), torch.ones(1, 2, 3), torch.ones(1, 2)).item(), 4)
        1.3863
        """
        each = torch.stack(
            [loss(logits[..., h : h + 1], labels[..., h : h + 1], weight, self.listwise) for h in range(self.labelled)]
        )
        if self.log_variance is None:
            return (self.weights * each).sum()
        return (torch.exp(-self.log_variance) * each + self.log_variance / 2).sum()
