"""A run asks every policy the same, in whatever number of processes, and its result is the same bytes."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from streams.errors import Misuse
from streams.evaluation.base import Case, Signal
from streams.evaluation.baselines import Parameters, Popular, baselines
from streams.evaluation.log import Entry, Log
from streams.evaluation.protocols import PROTOCOLS, Chosen
from streams.evaluation.result import as_json, labelled
from streams.evaluation.run import Asked, Outcome, cases_of, learned, run
from streams.evaluation.streamrank import Streamrank
from tests.logs import START_MS, shop_log
from tests.unit.building import RowRanker, item, settings, wire
from tests.unit.evaluation.files import click, log_of, write

ASKED = Asked(k=5, seed=1)
SPLIT = Chosen(split_ms=START_MS + 1_200_000)


class Noted:
    """Notes what it learns and is asked."""

    name = "noted"

    def __init__(self) -> None:
        self.steps: list[Signal | Case] = []

    def learn(self, signal: Signal) -> None:
        self.steps.append(signal)

    def rank(self, case: Case, k: int) -> list[str]:
        self.steps.append(case)
        return [f"{case.user_id}-{n}" for n in range(k)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with a slate, and a session to complete, for each hundredth event; some of its items are unheard of."""
    lines = [value for _, value in shop_log(1_500, users=300, items=60, seed=2)]
    for n in range(100, 1_500, 100):
        shown, at_ms = [f"i{m}" for m in range(n // 100, n // 100 + 6)] + [f"unheard-of-{n}"], START_MS + n * 1_000
        lines += [wire("impression", f"u{n}", at_ms, request_id=f"q{n}", items=shown)]
        lines += [wire("click", f"u{n}", at_ms + 1, request_id=f"q{n}", item_id=shown[2])]
    folder = write(tmp_path_factory.mktemp("log"), lines, [item(f"i{n}", category=[f"c{n % 3}"]) for n in range(50)])
    sessions = [{"user_id": f"h{n}", "items": [f"i{n % 60}", f"new-{n}"], "targets": ["i1"]} for n in range(300)]
    (folder / "holdout.jsonl").write_text("".join(json.dumps(session) + "\n" for session in sessions))
    return folder


def ran(path: Path, name: str, asked: Asked, chosen: Chosen) -> tuple[Outcome, str]:
    """Return the outcome of a run, and its result as JSON without the timing."""
    log, policies = Log(path), baselines(Parameters(bonus=0.1))
    streamrank = Streamrank(settings(), log.items(), RowRanker())
    outcome = run(log, PROTOCOLS[name](chosen), streamrank, policies, asked)
    popular = next(policy for policy in policies if isinstance(policy, Popular))
    result = as_json(name, log, outcome, asked, popular, streamrank)
    return outcome, json.dumps({name: value for name, value in result.items() if name != "timing"})


WAYS = {"prequential": SPLIT, "next-basket": SPLIT, "holdout-last": Chosen(strict=True, masked=True),
        "holdout-file": Chosen(), "rerank": Chosen()}  # fmt: skip


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_any_number_of_processes_gives_the_same_bytes(path: Path, name: str) -> None:
    asked = replace(ASKED, sample=0.3) if name == "prequential" else ASKED
    one, three = (ran(path, name, replace(asked, processes=processes), WAYS[name])[1] for processes in (1, 3))
    assert one == three


def test_forks_are_really_used(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.evaluation.run._FORKED", forked := Remembering())
    outcome, _ = ran(path, "holdout-file", replace(ASKED, processes=2), Chosen())
    assert (len(forked.asks), forked) == (1, [])
    assert len(outcome.answers) == len(outcome.cases) == 300


class Remembering(list[object]):
    """A list that remembers what was put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.asks: list[object] = []

    def append(self, ask: object) -> None:
        self.asks.append(ask)
        super().append(ask)


@pytest.mark.parametrize("name", list(PROTOCOLS))
def test_every_policy_gets_every_case_behind_what_its_walk_teaches(path: Path, name: str) -> None:
    log, policies = Log(path), (Noted(), Noted())
    policies[1].name = "again"
    protocol = PROTOCOLS[name](WAYS[name])
    outcome = run(log, protocol, Streamrank(settings(), log.items(), RowRanker()), policies, ASKED)
    cases = cases_of(log, protocol)
    assert policies[0].steps == policies[1].steps
    assert [step for step in policies[0].steps if isinstance(step, Case)] == cases
    before = list(itertools.takewhile(lambda step: isinstance(step, Signal), policies[0].steps))
    assert before == list(learned(log, protocol)())
    assert len(outcome.answers) == len(outcome.rankings["noted"]) == len(cases)
    assert outcome.rankings["again"] == [[f"{case.user_id}-{n}" for n in range(5)] for case in cases]
    assert [(case.user_id, case.targets) for case in outcome.cases] == [(case.user_id, case.targets) for case in cases]


@pytest.mark.parametrize("name", ["next-basket", "holdout-last", "holdout-file"])
def test_who_else_is_asked_changes_no_answer(path: Path, name: str) -> None:
    outcome, _ = ran(path, name, ASKED, WAYS[name])
    some, _ = ran(path, name, replace(ASKED, sample=0.3), WAYS[name])
    assert 0.15 * len(outcome.cases) < len(some.cases) < 0.45 * len(outcome.cases)
    places = {case.user_id: n for n, case in enumerate(outcome.cases)}
    chosen = [places[case.user_id] for case in some.cases]
    assert chosen == sorted(chosen)
    assert some.answers == [outcome.answers[n] for n in chosen]
    assert some.rankings == {name: [ranking[n] for n in chosen] for name, ranking in outcome.rankings.items()}


@pytest.mark.parametrize("name", ["next-basket", "holdout-last", "holdout-file"])
def test_streamrank_has_learned_what_the_walk_teaches(path: Path, name: str) -> None:
    log, protocol = Log(path), PROTOCOLS[name](WAYS[name])
    alone = Streamrank(settings(), log.items(), RowRanker())
    for step in protocol.walk(log):
        if isinstance(step, Entry):
            alone.learn(step)
    assert ran(path, name, ASKED, WAYS[name])[0].answers == alone.rank(cases_of(log, protocol), ASKED.k)


def test_a_sample_is_that_of_its_seed(path: Path) -> None:
    def users(seed: int) -> list[str]:
        return [case.user_id for case in ran(path, "holdout-file", Asked(5, seed, sample=0.2), Chosen())[0].cases]

    assert users(1) == users(1) != users(2)


def test_a_target_needs_so_many_signals_before(tmp_path: Path) -> None:
    lines = [click(f"u{n}", item_id, n) for n, item_id in enumerate("aabaac")] + [click("u0", "b", 9)]
    log = log_of(tmp_path, *lines)

    def asked(least: int) -> list[tuple[str, ...]]:
        outcome = run(log, PROTOCOLS["prequential"](Chosen()), Streamrank(settings(), [], RowRanker()), [Noted()],
                      replace(ASKED, min_count=least))  # fmt: skip
        return [tuple(case.targets) for case in outcome.cases]

    assert asked(0) == [(item_id,) for item_id in "aabaacb"]
    assert asked(1) == [("a",), ("a",), ("a",), ("b",)]
    assert asked(3) == [("a",)]
    with pytest.raises(Misuse, match="no case is left: choose a larger --sample or a smaller --min-count"):
        asked(5)


def test_a_fit_is_asked_for_what_is_known_enough_too(tmp_path: Path) -> None:
    log = log_of(tmp_path, *(click(f"u{n}", item_id, n) for n, item_id in enumerate("aabaac")))
    protocol = PROTOCOLS["prequential"](Chosen())
    cases = cases_of(log, protocol, replace(ASKED, min_count=2, sample=0.01))
    assert [tuple(case.targets) for case in cases] == [("a",), ("a",)]
    assert len(cases_of(log, protocol)) == 6


def test_probabilities_are_of_what_was_shown(path: Path) -> None:
    outcome, _ = ran(path, "rerank", ASKED, Chosen())
    labels, p = labelled(outcome)
    assert len(labels) == len(p) == sum(len(answer.items) for answer in outcome.answers)
    pairs = zip(outcome.answers, outcome.cases, strict=True)
    hits = sum(len(set(answer.items) & set(case.targets)) for answer, case in pairs)
    assert labels.sum() == hits > 0
    assert ((p >= 0) & (p <= 1)).all()


def test_the_result_says_what_was_evaluated(path: Path) -> None:
    outcome, text = ran(path, "rerank", ASKED, Chosen())
    result = json.loads(text)
    assert (result["protocol"], result["k"], result["cases"]) == ("rerank", 5, len(outcome.cases))
    assert list(result["results"]) == [
        "streamrank", "popular", "most_frequent", "cooccurrence", "heuristic", "ceiling"
    ]  # fmt: skip
    assert result["events"] == outcome.events
    assert result["left_out"]["repeated"] > 0
    assert result["results"]["ceiling"]["recall"] >= result["results"]["streamrank"]["recall"]
    assert sum(result["results"]["streamrank"]["sources"].values()) == pytest.approx(1.0, abs=1e-5)


def test_progress_is_told(path: Path) -> None:
    told: list[tuple[str, int]] = []
    log, protocol = Log(path), PROTOCOLS["holdout-file"](Chosen())
    run(log, protocol, Streamrank(settings(), [], None), [], ASKED, lambda *one: told.append(one))
    assert told[-1] == ("predicting", 300)
