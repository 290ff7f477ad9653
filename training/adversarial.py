"""Adversarial training on embeddings: learn to say the same where the words are shifted by what hurts most.

    d_0 = 0,    d_{n+1} = project(d_n + a g / |g|),   g the gradient of the loss by d,   |d| <= r for each row

Projected gradient descent (Madry et al., ICLR 2018) in the space of word embeddings (Miyato et al., ICLR 2017); one
step with a = r is the fast gradient method. The radius counts in the embeddings' own root mean square a token.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STEP = 1.5
"""A step's length times the number of steps, in radii: a walk may reach the edge, and go along it."""


@dataclass(frozen=True, slots=True)
class Adversary:
    """`steps` of `radius`; `weight` is that of the loss where the words are shifted, beside the plain one."""

    steps: int = 1
    radius: float = 0.1
    weight: float = 1.0


def against(embedding: nn.Module, loss: Callable[[], Tensor], how: Adversary, generator: torch.Generator) -> Tensor:
    """Return the shift (B, L, D) of the output of `embedding` that hurts most; `loss` runs the network once.

    With several steps the walk begins at a place drawn from the generator, as a gradient at the start says little
    of a curved loss. No weight's gradient is touched.
    """
    plain = _output(embedding, loss)  # (B, L, D)
    limit = how.radius * plain.pow(2).mean().sqrt() * plain[0].numel() ** 0.5
    shift = torch.zeros_like(plain)
    if how.steps > 1:
        drawn = torch.empty(plain.shape).normal_(generator=generator).to(plain)
        shift = _of_length(drawn, limit * torch.rand(1, generator=generator).to(plain))
    step = limit if how.steps == 1 else limit * STEP / how.steps
    for _ in range(how.steps):
        shift.requires_grad_()
        with shifted(embedding, shift):
            (slope,) = torch.autograd.grad(loss(), shift)
        shift = _within(shift.detach() + _of_length(slope, step), limit)
    return shift


@contextmanager
def shifted(embedding: nn.Module, shift: Tensor) -> Iterator[None]:
    """Add a shift (B, L, D) to what a module returns."""
    hook = embedding.register_forward_hook(lambda module, inputs, output: output + shift)
    try:
        yield
    finally:
        hook.remove()


def _output(embedding: nn.Module, loss: Callable[[], Tensor]) -> Tensor:
    seen: list[Tensor] = []
    hook = embedding.register_forward_hook(lambda module, inputs, output: seen.append(output.detach()))
    try:
        with torch.no_grad():
            loss()
    finally:
        hook.remove()
    return seen[0]


def _of_length(rows: Tensor, length: Tensor) -> Tensor:
    """Return rows (B, L, D) stretched to a length each."""
    factor: Tensor = length / rows.flatten(1).norm(dim=1).clamp_min(1e-12)
    return rows * factor[:, None, None]


def _within(rows: Tensor, limit: Tensor) -> Tensor:
    """Return rows (B, L, D), those beyond a length shortened to it."""
    factor: Tensor = (limit / rows.flatten(1).norm(dim=1).clamp_min(1e-12)).clamp_max(1.0)
    return rows * factor[:, None, None]
