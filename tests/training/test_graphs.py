"""A graph that was traced with other weights is the graph of a trace with these, to the byte."""

import torch
from torch import nn

from inference.tensors import Tensor
from training.graphs import Traced, graph_of

CONTRACT = ((Tensor("x", "FP32", ("B", 4), "asked"),), (Tensor("y", "FP32", ("B", 2), "answered"),))
EXAMPLE = [torch.ones(3, 4)]


class Small(nn.Module):
    """Has a weight that is read as it is, and one that a graph holds worked in."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer, self.scale = nn.Linear(4, 2), nn.Parameter(torch.randn(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x) * torch.exp(self.scale)
        return y


def test_weights_are_put_in_as_if_they_had_been_traced() -> None:
    traced = Traced(Small(1), EXAMPLE, CONTRACT, "small")
    other, first = (traced.graph(Small(seed)).SerializeToString() for seed in (2, 1))
    assert other != first
    assert other == graph_of(Small(2), EXAMPLE, CONTRACT, "small").SerializeToString()
    assert first == traced.graph(Small(1)).SerializeToString()
