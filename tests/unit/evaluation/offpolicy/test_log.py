"""What a log is taken for: the order of a slate, whose it is, which reward counts, and who teaches the model of it."""

from pathlib import Path

import numpy as np

from streams.evaluation.offpolicy.log import load
from streams.evaluation.offpolicy.policies import Logged
from streams.evaluation.offpolicy.run import _rounds, evaluate
from tests.unit.evaluation.offpolicy.test_run import at_random, policy, record, shown, write


def test_a_slate_is_read_from_the_top_down_whatever_the_order_of_its_items(tmp_path: Path) -> None:
    records, config = at_random(60), policy(tmp_path, 'policy = "random"')
    wanted = evaluate(write(tmp_path / "log", records), config).result
    turned = [one | {"items": one["items"][::-1]} for one in records]
    assert evaluate(write(tmp_path / "turned", turned), config).result == wanted


def test_who_went_further_went_as_far(tmp_path: Path) -> None:
    bought = shown(1, 0, 0.5, False, outcome="purchase")
    log = write(tmp_path / "log", [record(0, [bought]), record(1, [shown(1, 0, 0.5, True)])])
    rewards = {outcome: load(log, outcome).rewards.tolist() for outcome in ("click", "cart", "purchase")}
    assert rewards == {"click": [1, 1], "cart": [1, 0], "purchase": [1, 0]}


def test_slates_of_one_user_are_no_evidence_of_their_own(tmp_path: Path) -> None:
    config, widths = policy(tmp_path, 'policy = "logged"'), []
    for users in (60, 240):
        same = [record(n, [shown(0, 0, 0.5, n % users % 3 == 0)], user_id=f"u{n % users}") for n in range(240)]
        result = evaluate(write(tmp_path / "log", same), config).result
        widths.append(np.ptp(result["estimates"]["ips"]["interval"]))
    assert 1.6 < widths[0] / widths[1] < 2.5  # as the root of the slates a user has


def test_the_model_of_the_reward_is_taught_by_others(tmp_path: Path) -> None:
    """Of two users one always clicks: the model holds that for the other, and knows nothing of it for the one."""
    log = load(write(tmp_path / "log", [record(n, [shown(0, 0, 0.5, n % 4 < 2)]) for n in range(8)]))
    rounds = _rounds(log, Logged().apply(log, 1), 1)
    clicks = log.rewards == 1
    assert clicks.any()
    assert rounds.modelled[clicks].tolist() == [0.0] * 4
    assert rounds.modelled[~clicks].tolist() == [1.0] * 4
    assert rounds.expected.tolist() == rounds.modelled.tolist()
