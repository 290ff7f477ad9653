"""How a learning rate goes: up in a line, then down by a cosine (Smith and Topin, "Super-convergence", 2019)."""

import torch


def one_cycle(
    optimizer: torch.optim.Optimizer, learning_rate: float, steps: int, warm_up: float
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Return the schedule of `steps` steps that is at `learning_rate` after the share `warm_up` of them.

    A warm-up of one step or less is none: torch would divide by its length, which is 0 when counted from the first.
    Of a single step torch would make the last, at next to no rate: it is taken at the full one.
    """
    share = warm_up if warm_up * steps > 1 else 0.0
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=max(2, steps), pct_start=share)
