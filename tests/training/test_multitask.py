"""Weighing click, cart and purchase."""

import pytest
import torch

from training.losses import loss
from training.multitask import MultiTask


def drawn() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits, weight = torch.randn(4, 6, 3), torch.rand(4, 6) + 0.5
    depth = torch.randint(4, (4, 6, 1))
    return logits, (depth > torch.arange(3)).float(), weight


def of_head(h: int, listwise: float) -> float:
    logits, labels, weight = drawn()
    return loss(logits[..., h : h + 1], labels[..., h : h + 1], weight, listwise).item()


def test_fixed_weights_are_shares() -> None:
    value = MultiTask("fixed", (1.0, 2.0, 5.0), 3, 0.5)(*drawn()).item()
    assert value == pytest.approx((of_head(0, 0.5) + 2 * of_head(1, 0.5) + 5 * of_head(2, 0.5)) / 8, rel=1e-5)


@pytest.mark.parametrize("weighting", ["fixed", "uncertainty"])
def test_heads_without_labels_have_no_say(weighting: str) -> None:
    logits, labels, weight = drawn()
    balance = MultiTask(weighting, (1.0, 1.0, 1.0), 2, 0.5)  # type: ignore[arg-type]
    other = logits.clone()
    other[..., 2] += 5
    assert balance(logits, labels, weight).item() == balance(other, labels, weight).item()


def test_uncertainty_settles_where_each_weight_is_one_over_twice_its_loss() -> None:
    """The minimum over s of e^{-s} L + s / 2 lies at e^{-s} = 1 / (2 L): what stays hard weighs less."""
    balance = MultiTask("uncertainty", (1.0, 1.0, 1.0), 3, 0.5)
    optimizer = torch.optim.Adam(balance.parameters(), lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        balance(*drawn()).backward()
        optimizer.step()
    assert balance.log_variance is not None
    for h, weight in enumerate(torch.exp(-balance.log_variance).tolist()):
        assert weight == pytest.approx(1 / (2 * of_head(h, 0.5)), rel=0.02)
