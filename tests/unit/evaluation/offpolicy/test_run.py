"""A policy is evaluated from a log of feedback: what it would have been worth; one sentence where nobody can tell."""

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from inference.onnx_ranker import OnnxRanker
from inference.ranker import RankerInputs
from inference.tensors import CODE_LEVELS, FEATURES, HISTORY, SEEDS
from streams.cli import run
from streams.errors import Misuse
from streams.evaluation.offpolicy.log import load
from streams.evaluation.offpolicy.policies import by_table
from streams.evaluation.offpolicy.run import evaluate, fitted
from streams.features.item import digest_of, hashed_id
from streams.settings import SHIPPED_MODELS
from streams.slate.explore import Exploration, explore
from streams.slate.select import worth
from tests.unit.building import T0

ITEMS = 5
INF = ", ".join(f"i{n} = inf" for n in range(ITEMS))
APPEAL = np.array([0.05, 0.1, 0.2, 0.4, 0.6])
"""How likely each item is clicked, wherever it is shown."""


def shown(item: int, position: int, propensity: float, clicked: bool, **more: Any) -> dict[str, Any]:
    one = {"item_id": f"i{item}", "position": position, "propensity": propensity}
    one |= {"features": [], "pairs": [], "item_code": []} | more
    return one | ({"outcome": "click", "outcome_ms": T0} if clicked else {})


def record(n: int, items: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    one = {"type": "feedback", "feedback_id": f"0-{n}-0", "slate_id": f"1-0-{n}", "request_id": f"r{n}"}
    one |= {"user_id": f"u{n // 2}", "at_ms": T0, "items": items}
    return one | {"seeds": [], "history_ids": [], "history_codes": []} | more


def write(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def policy(folder: Path, text: str) -> Path:
    path = folder / "policy.toml"
    path.write_text(text)
    return path


def at_random(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return slates of two items of five, any with the same chance."""
    drawn, made = np.random.default_rng(seed), []
    for n in range(count):
        pair = drawn.permutation(ITEMS)[:2].tolist()
        made.append(
            record(n, [shown(i, at, 1 / (ITEMS - at), bool(drawn.random() < APPEAL[i])) for at, i in enumerate(pair)])
        )
    return made


def test_the_policy_that_made_the_log_is_worth_its_mean_reward(tmp_path: Path) -> None:
    log = write(tmp_path / "log", at_random(400))
    found = evaluate(log, policy(tmp_path, 'policy = "logged"'))
    mean = round(sum("outcome" in one for r in at_random(400) for one in r["items"]) / 400, 4)
    estimates = found.result["estimates"]
    assert {name: one["value"] for name, one in estimates.items() if name != "replay"} == {
        name: pytest.approx(mean, abs=1e-4) for name in ("ips", "snips", "rips", "iips", "dr", "switch")
    }
    assert {one["effective_slates"] for name, one in estimates.items() if name != "replay"} == {400.0}
    assert found.complaint is None
    same = evaluate(log, policy(tmp_path, 'policy = "random"')).result["estimates"]  # which is what made it
    assert [same[name] for name in ("ips", "snips", "rips")] == [estimates[name] for name in ("ips", "snips", "rips")]


def test_thompson_sampling_is_estimated_from_a_random_log_within_its_intervals(tmp_path: Path) -> None:
    """Priors so sharp that the policy shows the two best, in either order."""
    priors = "".join(f"i{n} = {'9' if n > 2 else '1'}00\n" for n in range(ITEMS))
    config = policy(tmp_path, f'policy = "thompson"\n[alpha]\n{priors}[beta]\n' + priors.replace("900", "100"))
    found = evaluate(write(tmp_path / "log", at_random(4_000)), config)
    truth = APPEAL[3] + APPEAL[4]
    for name in ("ips", "snips", "rips", "iips", "dr", "switch", "replay"):
        low, high = found.result["estimates"][name]["interval"]
        assert low < truth < high, name
    widths = {name: np.ptp(one["interval"]) for name, one in found.result["estimates"].items()}
    assert widths["dr"] < widths["rips"] < widths["ips"]
    assert found.complaint is None


def test_what_another_log_shows_on_the_average_is_a_policy(tmp_path: Path) -> None:
    other = write(tmp_path / "other", [record(n, [shown(3 + n % 2, 0, 0.5, False)]) for n in range(10)])
    singles = [record(n, r["items"][:1]) for n, r in enumerate(at_random(3_000))]
    found = evaluate(write(tmp_path / "log", singles), policy(tmp_path, f'policy = "frequencies"\nlog = "{other}"'))
    low, high = found.result["estimates"]["dr"]["interval"]
    assert low < (APPEAL[3] + APPEAL[4]) / 2 < high


def test_chances_of_a_table_are_those_of_what_is_left(tmp_path: Path) -> None:
    log = load(write(tmp_path / "log", at_random(50)))
    table = np.random.default_rng(5).dirichlet(np.ones(ITEMS), 2).T
    applied, value = by_table(log, table), np.random.default_rng(6).random((ITEMS, 2))
    for n in range(50):
        first, second = log.items[2 * n : 2 * n + 2]
        left = [i for i in range(ITEMS) if i != first]
        assert applied.chances[2 * n] == pytest.approx(table[first, 0])
        assert applied.chances[2 * n + 1] == pytest.approx(table[second, 1] / table[left, 1].sum())
        wanted = (table[left, 1] @ value[left, 1]) / table[left, 1].sum()
        assert applied.expected(value)[2 * n + 1] == pytest.approx(wanted)


def test_the_model_of_the_reward_is_the_rate_of_what_nobody_saw(tmp_path: Path) -> None:
    log = load(write(tmp_path / "log", at_random(2_000)))
    model = fitted(log, np.ones(len(log.items), bool))
    assert np.abs(model - APPEAL[[int(name[1:]) for name in log.item_ids]][:, None]).max() < 0.1
    nothing = fitted(log, log.items != 0)
    rates = [log.rewards[(log.positions == n) & (log.items != 0)].mean() for n in (0, 1)]
    assert nothing[0] == pytest.approx(rates)


def reranked(count: int, exploration: Exploration) -> list[dict[str, Any]]:
    """Return slates of five given items, as live: scored by the shipped ranker, explored, with features as served."""
    drawn, ranker, made = np.random.default_rng(2), OnnxRanker(SHIPPED_MODELS / "ranker", 1), []
    digests = np.array([digest_of(f"i{n}") for n in range(ITEMS)], np.uint64)
    for n in range(count):
        inputs = RankerInputs.zeros(1, 8)
        inputs.features[0, :ITEMS] = drawn.random((ITEMS, len(FEATURES)))
        inputs.item_ids[0, :ITEMS] = [hashed_id(int(one)) for one in digests]
        p = ranker.score(inputs)[0, :ITEMS]
        features = inputs.features[0, :ITEMS]
        evidence = np.expm1(features[:, FEATURES.index("popular")].astype(float))
        places, told = explore(worth(p), evidence, digests, ITEMS, exploration, f"1-0-{n}")
        nothing = {"pairs": [0.0] * 2 * SEEDS, "item_code": [0] * CODE_LEVELS}
        items = [
            shown(i, at, float(told[at]), bool(drawn.random() < APPEAL[i] / (1 + at)), features=f, **nothing)
            for at, (i, f) in enumerate(zip(places.tolist(), features[places].tolist(), strict=True))
        ]
        made.append(
            record(
                n, items, seeds=[0.0] * SEEDS, history_ids=[0] * HISTORY, history_codes=[[0] * CODE_LEVELS] * HISTORY
            )
        )
    return made


def ranker_policy(folder: Path, **explored: float) -> Path:
    lines = [f"explore_{name} = {value}\n" for name, value in explored.items()]
    return policy(folder, f'policy = "ranker"\nmodel = "{SHIPPED_MODELS / "ranker"}"\n{"".join(lines)}')


def test_a_ranker_explored_as_the_log_was_is_the_policy_that_made_it(tmp_path: Path) -> None:
    records = reranked(60, Exploration(0.6, 1.0, 0.5))
    log = write(tmp_path / "log", records)
    found = evaluate(log, ranker_policy(tmp_path, share=0.6, temperature=1.0, bonus=0.5)).result
    assert found["mean_weight"]["value"] == found["largest_weight"] == 1.0
    mean = sum("outcome" in one for r in records for one in r["items"]) / 60
    assert found["estimates"]["ips"]["value"] == pytest.approx(mean, abs=1e-4)


def test_a_ranker_without_exploration_is_estimated_from_an_explored_log(tmp_path: Path) -> None:
    log = write(tmp_path / "log", reranked(400, Exploration(0.6, 1.0, 0.5)))
    found = evaluate(log, ranker_policy(tmp_path)).result
    plain = reranked(400, Exploration(0.0))
    truth = np.mean([sum(APPEAL[int(o["item_id"][1:])] / (1 + o["position"]) for o in r["items"]) for r in plain])
    for name in ("ips", "rips", "dr"):
        low, high = found["estimates"][name]["interval"]
        assert low < truth < high, name


@pytest.mark.parametrize(
    ("change", "config", "says"),
    [
        ({"propensity": 0.0}, "", r"log:2: no feedback: \$\.items\[0\]\.propensity: .*> 0"),
        ({"position": 10**15}, "", r"log:2: no feedback: \$\.items\[0\]\.position: .*<= 999"),
        ({"propensity": None}, "", r"log:2: no feedback: \$\.items\[0\]\.propensity"),
        ({}, 'policy = "best"', r"policy\.toml: Invalid value 'best' - at `\$\.policy` \(policy is one of logged, ran"),
        ({}, "", "policy.toml: .*missing required field `policy`"),
        ({}, 'policy = "random"\ntemprature = 1', "unknown field `temprature`"),
        ({}, "policy = ", "not a TOML file"),
        (
            {},
            'policy = "thompson"\nalpha = {i1 = 1}\nbeta = {i1 = 1}',
            "alpha: item 'i.' of .*log has no finite number above 0",
        ),
        (
            {},
            f'policy = "thompson"\nalpha = {{{INF}}}\nbeta = {{{INF}}}',
            "alpha: item 'i.' .* has no finite number abo",
        ),
        (
            {"propensity": 1e-320},
            'policy = "random"',
            r"log: the least propensity, 9\.99\d+e-321, makes a weight beyond",
        ),
        ({}, 'policy = "ranker"\nmodel = "m"\nexplore_share = 2', r"`float` <= 1.0 - at `\$\.explore_share`"),
        ({}, 'policy = "frequencies"\nlog = "none"', "none: cannot read the log"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    change: dict[str, Any], config: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = at_random(3)
    records[1]["items"][0] |= change
    path = policy(tmp_path, config or ('policy = "logged"' if change else ""))
    log = write(tmp_path / "log", records)
    with pytest.raises(Misuse, match=says) as caught:
        evaluate(log, path)
    assert "\n" not in str(caught.value)
    assert run(["evaluate", str(log), "--policy", str(path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_log_that_tells_nothing_of_the_policy_is_one_sentence(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", [{"type": "forgotten", "feedback_id": "0-1-0", "user_sha256": "a", "at_ms": T0}])
    with pytest.raises(Misuse, match="empty: holds no feedback"):
        evaluate(empty, policy(tmp_path, 'policy = "logged"'))
    sure = write(tmp_path / "sure", [record(n, [shown(n % 3, 0, 1.0, False)]) for n in range(9)])
    with pytest.raises(Misuse, match="nothing was explored, every propensity is 1"):
        evaluate(sure, policy(tmp_path, 'policy = "random"'))
    other = write(tmp_path / "other", [record(n, [shown(4, 0, 0.5, False)]) for n in range(9)])
    folder = tmp_path / "half"
    folder.mkdir()
    half = write(folder / "feedback.jsonl", [record(n, [shown(n % 3, 0, 0.5, False)]) for n in range(9)])
    config = policy(tmp_path, f'policy = "frequencies"\nlog = "{other}"')
    with pytest.raises(Misuse, match=r"other: shows item 'i4', which is neither in .*feedback\.jsonl nor in items"):
        evaluate(half, config)
    write(folder / "items.jsonl", [{"item_id": "i4"}])
    with pytest.raises(Misuse, match=r"feedback\.jsonl: no overlap: the policy of .*policy\.toml never shows"):
        evaluate(folder, config)
    with pytest.raises(Misuse, match=r"no feedback\.jsonl in this folder"):
        evaluate(tmp_path, policy(tmp_path, 'policy = "logged"'))


def test_a_slate_that_cannot_be_ranked_again_is_one_sentence(tmp_path: Path) -> None:
    config = ranker_policy(tmp_path, share=0.5)
    with pytest.raises(Misuse, match="slate 1-0-0: seeds has 0 numbers, not"):
        evaluate(write(tmp_path / "log", at_random(3)), config)
    some = reranked(3, Exploration(0.6))
    some[1]["items"] = some[1]["items"][:4]
    with pytest.raises(Misuse, match="slate 1-0-1: a ranker can only be evaluated on explored slates that show all"):
        evaluate(write(tmp_path / "log", some), config)


def test_propensities_that_cannot_be_right_are_told(tmp_path: Path) -> None:
    records = at_random(500)
    for one in records:
        for item in one["items"]:
            item["propensity"] = min(1.0, 2 * item["propensity"])
    found = evaluate(write(tmp_path / "log", records), policy(tmp_path, 'policy = "random"'))
    assert found.complaint is not None
    assert found.complaint.startswith("the mean weight is 0.25")


def test_a_repeat_counts_once_and_the_same_command_gives_the_same_numbers(tmp_path: Path) -> None:
    records = at_random(100)
    once, twice = write(tmp_path / "once", records), write(tmp_path / "twice", [*records, *records[20:60]])
    config = policy(tmp_path, 'policy = "random"')
    assert evaluate(once, config).result == evaluate(twice, config).result


def test_a_log_may_be_packed_or_parquet(tmp_path: Path) -> None:
    records, config = reranked(6, Exploration(0.5)), policy(tmp_path, 'policy = "random"')
    plain = write(tmp_path / "plain", records)
    (tmp_path / "packed").write_bytes(gzip.compress(plain.read_bytes()))
    parquet.write_table(pa.Table.from_pylist(records), tmp_path / "rows")
    wanted = evaluate(plain, config).result
    assert evaluate(tmp_path / "packed", config).result == evaluate(tmp_path / "rows", config).result == wanted


def test_the_command_prints_a_table_and_writes_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, config = write(tmp_path / "log", at_random(100)), policy(tmp_path, 'policy = "random"')
    result = tmp_path / "result.json"
    assert run(["evaluate", str(log), "--policy", str(config), "--outcome", "cart", "--json", str(result)]) == 0
    out = capsys.readouterr().out
    assert "snips" in out
    assert "mean weight 1.000" in out
    found = json.loads(result.read_text())
    assert found["rewards"] == 0
    assert found["estimates"]["ips"] == {"value": None, "interval": None, "effective_slates": 100.0}
    assert "no reward among them" in out
