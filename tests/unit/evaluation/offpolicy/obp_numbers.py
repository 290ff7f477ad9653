"""Prints what obp 0.4.1 says of the arrays in `cases.py`: `python -m tests.unit.evaluation.offpolicy.obp_numbers`.

Its numbers are kept in `test_estimators.py`, as obp is not maintained for the versions that Streamrank needs.
"""

import numpy as np
from obp.ope import (
    DoublyRobust,
    InverseProbabilityWeighting,
    ReplayMethod,
    SelfNormalizedInverseProbabilityWeighting,
    SlateIndependentIPS,
    SlateRewardInteractionIPS,
    SlateStandardIPS,
    SwitchDoublyRobust,
)

from tests.unit.evaluation.offpolicy.cases import POSITIONS, SLATES, SWITCH_AT, bandit, slates


def numbers() -> dict[str, float]:
    found = {}
    for name, estimator, certain in (
        ("ips", InverseProbabilityWeighting(), False),
        ("snips", SelfNormalizedInverseProbabilityWeighting(), False),
        ("dr", DoublyRobust(), False),
        ("switch", SwitchDoublyRobust(tau=SWITCH_AT), False),
        ("replay", ReplayMethod(), True),
    ):
        case = bandit(certain=certain)
        found[name] = estimator.estimate_policy_value(
            reward=case.rewards, action=case.actions, position=case.positions, pscore=case.propensities,
            action_dist=case.chances, estimated_rewards_by_reg_model=case.worth,
        )  # fmt: skip
    case = slates()

    def down(values: np.ndarray, each: bool) -> np.ndarray:
        products = values.reshape(-1, POSITIONS).cumprod(axis=1)
        return products.ravel() if each else products[:, -1].repeat(POSITIONS)

    common = {
        "slate_id": np.arange(SLATES).repeat(POSITIONS),
        "position": np.tile(np.arange(POSITIONS), SLATES),
        "reward": case.rewards,
    }
    found["slate ips"] = SlateStandardIPS(len_list=POSITIONS).estimate_policy_value(
        **common, pscore=down(case.propensities, False), evaluation_policy_pscore=down(case.chances, False)
    )
    found["slate rips"] = SlateRewardInteractionIPS(len_list=POSITIONS).estimate_policy_value(
        **common,
        pscore_cascade=down(case.propensities, True),
        evaluation_policy_pscore_cascade=down(case.chances, True),
    )
    found["slate iips"] = SlateIndependentIPS(len_list=POSITIONS).estimate_policy_value(
        **common, pscore_item_position=case.propensities, evaluation_policy_pscore_item_position=case.chances
    )
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    print(numbers())  # noqa: T201
