import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.online.blend import PRIOR, SWITCH, WEIGHTS, experts, mixed, moved
from streams.online.model import log_loss

SLATES = st.lists(
    st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8), st.booleans()), min_size=1, max_size=6),
    min_size=1,
    max_size=80,
)


@given(SLATES)
def test_whatever_comes_the_blend_is_worse_than_any_expert_by_no_more_than_its_bound(
    slates: list[list[tuple[float, float, bool]]],
) -> None:
    shares, lost, experts_lost = PRIOR, 0.0, np.zeros(len(WEIGHTS))
    for slate in slates:
        ranker, online, clicked = (np.array(column) for column in zip(*slate, strict=True))
        said = experts(ranker, online)
        losses = [log_loss(clicked, said[:, w]).mean() for w in range(len(WEIGHTS))]
        lost += log_loss(clicked, mixed(np.array(shares), ranker, online)).mean()
        experts_lost += losses
        shares = moved(shares, losses)
    bounds = -np.log(PRIOR) - len(slates) * math.log1p(-SWITCH)
    assert (lost <= experts_lost + bounds + 1e-9).all()


@given(st.lists(st.floats(0, 30), min_size=len(WEIGHTS), max_size=len(WEIGHTS)))
def test_shares_stay_shares_and_none_is_given_up(losses: list[float]) -> None:
    shares = moved(moved(PRIOR, losses), losses)
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) >= SWITCH * min(PRIOR)


def test_the_first_expert_is_the_ranker_and_the_last_one_the_online_model() -> None:
    ranker, online = np.array([-2.0, 1.0]), np.array([0.5, -3.0])
    said = experts(ranker, online)
    assert np.allclose(said[:, 0], 1 / (1 + np.exp(-ranker)))
    assert np.allclose(said[:, -1], 1 / (1 + np.exp(-online)))


def test_what_was_bad_for_long_comes_back_within_dozens_of_slates() -> None:
    shares = PRIOR
    for _ in range(5_000):
        shares = moved(shares, [0.1, 0.2, 0.3, 0.4, 0.5])
    assert shares[0] > 0.99
    for _ in range(100):
        shares = moved(shares, [0.5, 0.4, 0.3, 0.2, 0.1])
    assert shares[-1] > 0.5
