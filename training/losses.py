"""What the student minimises: one loss for calibrated probabilities, one for the order within a list.

Each of them from labels, and from what a teacher thinks.
"""

import torch
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


def taught_pointwise(logits: Tensor, taught: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Return how far p is from a teacher's, per candidate and head, (B, K, H) each and weights (B, K) to a scalar.

    L = (T^2 / B) sum_bk w_bk mean_h KL(s(t / T) || s(z / T)), with t the teacher's logits: Hinton, Vinyals and Dean,
    "Distilling the knowledge in a neural network", 2015. T^2 keeps gradients at the scale of labels' ones.

    >>> round(taught_pointwise(torch.zeros(1, 1, 1), torch.ones(1, 1, 1), torch.ones(1, 1), 1.0).item(), 4)
    0.1109
    """
    soft = torch.sigmoid(taught / temperature)
    said = functional.binary_cross_entropy_with_logits(logits / temperature, soft, reduction="none")
    least = functional.binary_cross_entropy_with_logits(taught / temperature, soft, reduction="none")
    return temperature**2 * ((said - least).mean(dim=2) * weight).sum() / len(logits)


def taught_listwise(logits: Tensor, taught: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Return how far the order of each list is from a teacher's, averaged over lists and heads.

    L = T^2 KL(q || r), q_k = w_k e^(t_k / T) / sum_j w_j e^(t_j / T), and r the same of z; weights as in `listwise`.

    >>> round(taught_listwise(torch.zeros(1, 2, 1), torch.tensor([[[1.0], [0.0]]]), torch.ones(1, 2), 1.0).item(), 4)
    0.1109
    """
    log_weight = weight.clamp_min(1e-30).log().unsqueeze(2)
    wanted = (taught / temperature + log_weight).log_softmax(dim=1)
    share = (logits / temperature + log_weight).log_softmax(dim=1)
    each = (wanted.exp() * (wanted - share)).sum(dim=1)  # (B, H)
    return temperature**2 * each.mean()


def taught_loss(logits: Tensor, taught: Tensor, weight: Tensor, listwise_weight: float, temperature: float) -> Tensor:
    """Return the sum of both, the listwise one weighted, as `loss` does with labels; 0 for what the teacher says."""
    order = taught_listwise(logits, taught, weight, temperature)
    return taught_pointwise(logits, taught, weight, temperature) + listwise_weight * order


def loss(logits: Tensor, labels: Tensor, weight: Tensor, listwise_weight: float) -> Tensor:
    """Return the sum of both, the listwise one weighted."""
    return pointwise(logits, labels, weight) + listwise_weight * listwise(logits, labels, weight)
