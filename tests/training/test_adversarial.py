"""The adversary: stays within its radius, hurts more than chance, more steps not less, and leaves no trace."""

import pytest
import torch
from torch import Tensor, nn

from training.adversarial import Adversary, against, shifted


class Reads(nn.Module):
    """A few words to a number, through a curve."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(20, 6)
        self.deep = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
        self.ids = torch.randint(20, (5, 4))

    def loss(self) -> Tensor:
        value: Tensor = self.deep(self.words(self.ids)).mean(dim=1).square().mean()
        return value


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def radius(model: Reads, how: Adversary) -> float:
    words = model.words(model.ids)
    return how.radius * words.pow(2).mean().sqrt().item() * words[0].numel() ** 0.5


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_shift_stays_within_the_radius_and_hurts_more_than_chance(steps: int) -> None:
    model, how = Reads(), Adversary(steps=steps, radius=0.5)
    shift = against(model.words, model.loss, how, generator())
    lengths = shift.flatten(1).norm(dim=1)
    assert torch.all(lengths <= radius(model, how) * 1.0001)
    chance = torch.empty_like(shift).normal_(generator=generator(1))
    chance *= (lengths / chance.flatten(1).norm(dim=1))[:, None, None]
    with shifted(model.words, shift):
        hurt = model.loss().item()
    with shifted(model.words, chance):
        assert hurt > model.loss().item()
    assert hurt > model.loss().item()


def test_one_step_is_the_fast_gradient_method() -> None:
    model, how = Reads(), Adversary(steps=1, radius=0.3)
    shift = against(model.words, model.loss, how, generator())
    words = model.words(model.ids).detach().requires_grad_()
    (slope,) = torch.autograd.grad(model.deep(words).mean(dim=1).square().mean(), words)
    expected = slope * (radius(model, how) / slope.flatten(1).norm(dim=1))[:, None, None]
    torch.testing.assert_close(shift, expected)


def test_more_steps_hurt_more() -> None:
    model, losses = Reads(), []
    for steps in (1, 10):
        shift = against(model.words, model.loss, Adversary(steps=steps, radius=2.0), generator())
        with shifted(model.words, shift):
            losses.append(model.loss().item())
    assert losses[1] > losses[0]


def test_it_leaves_no_trace_and_is_seeded() -> None:
    model, how = Reads(), Adversary(steps=3)
    before = model.loss().item()
    one, again, other = (against(model.words, model.loss, how, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert model.loss().item() == before
    assert all(parameter.grad is None for parameter in model.parameters())
