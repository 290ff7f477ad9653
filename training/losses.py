"""What the student minimises: one loss for calibrated probabilities, one for the order within a list."""

from torch import Tensor
from torch.nn import functional


def pointwise(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Return binary cross-entropy per list, (B, K, H) and weights (B, K) to a scalar; for calibration.

    L = -(1/B) sum_bk w_bk mean_h [y log s(z) + (1 - y) log(1 - s(z))], summed over a list's candidates, so it is on
    the scale of a list like `listwise`. `weight` counts the candidates that a sampled one stands for; padding has 0.

    >>> round(pointwise(torch.zeros(1, 2, 1), torch.ones(1, 2, 1), torch.ones(1, 2)).item(), 4)
    1.3863
    """
    each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(dim=2)
    return (each * weight).sum() / len(logits)


def listwise(logits: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Return the softmax cross-entropy of each list's order, averaged over lists and heads that have a positive.

    L = -sum_k (y_k / sum_j y_j) log(w_k e^z_k / sum_j w_j e^z_j), the top-one likelihood of ListNet (Cao et al., ICML
    2007; a bound on NDCG, Bruch et al., ICTIR 2019). log w corrects the softmax for sampled negatives (Jean et al.,
    ACL 2015), and takes padding out. With `pointwise` as in Sheng et al., KDD 2023.

    >>> labels = torch.tensor([[[1.0], [0.0]]])
    >>> round(listwise(torch.zeros(1, 2, 1), labels, torch.ones(1, 2)).item(), 4)
    0.6931
    """
    corrected = logits + weight.clamp_min(1e-30).log().unsqueeze(2)
    share = corrected.log_softmax(dim=1)
    found = labels.sum(dim=1)  # (B, H)
    each = -(labels * share).sum(dim=1) / found.clamp_min(1.0)
    return each.sum() / (found > 0).sum().clamp_min(1)


def loss(logits: Tensor, labels: Tensor, weight: Tensor, listwise_weight: float) -> Tensor:
    """Return the sum of both, the listwise one weighted."""
    return pointwise(logits, labels, weight) + listwise_weight * listwise(logits, labels, weight)
