"""A narrower student: hidden units that say least are taken out whole, so that what is left is smaller and faster.

A unit's say is |w_in| |w_out|, the norms of what it hears and of what it tells (after Li et al., "Pruning filters for
efficient ConvNets", ICLR 2017). Units of the MLP and of the taste's feed-forward layer go; widths that other parts
share stay.
"""

import copy
import math
from itertools import pairwise

import torch
from torch import nn

from training.student import Student


def narrowed(student: Student, keep: float) -> Student:
    """Return a copy with that share of the units of each hidden layer, at least one."""
    made = copy.deepcopy(student)
    layers = [n for n, part in enumerate(made.deep) if isinstance(part, nn.Linear)]
    for here, after in pairwise(layers):
        made.deep[here], made.deep[after] = _pruned(made.deep[here], made.deep[after], keep)  # type: ignore[arg-type]
    made.taste.up, made.taste.down = _pruned(made.taste.up, made.taste.down, keep)
    return made.eval()


def _pruned(first: nn.Linear, then: nn.Linear, keep: float) -> tuple[nn.Linear, nn.Linear]:
    """Return two layers with the units between them that say most, in their order."""
    say = first.weight.norm(dim=1) * then.weight.norm(dim=0)
    size = max(1, math.ceil(keep * len(say)))
    kept = say.argsort(descending=True, stable=True)[:size].sort().values
    with torch.no_grad():
        return _layer(first.weight[kept], first.bias[kept]), _layer(then.weight[:, kept], then.bias)


def _layer(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight.copy_(weight)
    made.bias.copy_(bias)
    return made
