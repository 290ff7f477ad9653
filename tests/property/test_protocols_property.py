"""What holds of every protocol on any log: nothing of a case, or of what comes after it, is learned before it."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streams.contracts import events as ev
from streams.errors import Misuse
from streams.evaluation.base import Case
from streams.evaluation.log import Entry, Log, signal
from streams.evaluation.protocols import PROTOCOLS, Chosen, Protocol
from streams.evaluation.protocols.hidden import Hidden
from streams.evaluation.protocols.prequential import Prequential
from tests.property.logs import ITEMS, MINUTE, USERS, items, logs
from tests.unit.building import T0

Steps = list[Entry | Case]
masks = st.builds(Chosen, masked=st.booleans())
SPLIT_MS = T0 + 60 * MINUTE


def _event(kinds: list[str], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    common = {"type": st.sampled_from(kinds), "user_id": st.sampled_from(USERS)}
    at_ms = st.integers(0, 120).map(lambda minute: T0 + minute * MINUTE)
    return st.fixed_dictionaries(common | {"at_ms": at_ms, "request_id": st.sampled_from(["r1", "r2"])} | fields)


_signals = _event(["view", "click", "purchase", "purchase"], item_id=items)
_shown = _event(["impression"], items=st.lists(items, min_size=3, max_size=5))
_others = _event(["uncart", "search", "forget", "alias"], item_id=items, query=items, login=st.sampled_from(USERS))
_long_before = {"type": "click", "user_id": "u1", "item_id": "i0", "at_ms": T0 - 300 * MINUTE}
dense = st.lists(st.one_of(_signals, _signals, _shown, _others), min_size=25, max_size=40).map(
    lambda log: [_long_before, *log]
)
"""Logs in which nearly always something can be predicted, also by a fit in the 36 minutes before the split."""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs") / "events.jsonl"


def opened(path: Path, log: list[dict[str, Any]]) -> Log:
    path.write_bytes(b"".join(json.dumps(event).encode() + b"\n" for event in log))
    return Log(path)


def walked(protocol: Protocol, log: Log) -> Steps:
    """Return all steps; a log with nothing to predict is no example."""
    try:
        return list(protocol.walk(log))
    except Misuse:
        assume(False)
        raise


def only_cases(steps: Steps) -> list[Case]:
    return [step for step in steps if isinstance(step, Case)]


def before_each_case(steps: Steps) -> Iterator[tuple[Case, list[Entry], Entry | Case | None]]:
    """Yield each case with what was learned before it, and the step behind it."""
    learned: list[Entry] = []
    for step, behind in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(step, Case):
            yield step, learned, behind
        else:
            learned.append(step)


@given(logs, masks)
def test_prequential_knows_exactly_the_events_before(path: Path, log: list[dict[str, Any]], chosen: Chosen) -> None:
    opened_log = opened(path, log)
    steps = walked(PROTOCOLS["prequential"](chosen), opened_log)
    events = list(opened_log)
    assert [step for step in steps if isinstance(step, Entry)] == events
    for case, learned, target in before_each_case(steps):
        assert isinstance(target, Entry)
        assert learned == events[: events.index(target)]
        one = signal(target)
        assert one is not None
        assert (case.user_id, case.at_ms, case.targets, case.kind) == (one.user_id, one.at_ms, (one.item_id,), one.kind)
        assert one.item_id not in case.masked


@given(dense)
def test_rerank_knows_exactly_the_events_before_and_its_targets_come_later(
    path: Path, log: list[dict[str, Any]]
) -> None:
    opened_log = opened(path, log)
    steps = walked(PROTOCOLS["rerank"](Chosen()), opened_log)
    events = list(opened_log)
    for case, learned, shown in before_each_case(steps):
        assert isinstance(shown, Entry)
        assert isinstance(shown.event, ev.Impression)
        assert learned == events[: events.index(shown)]
        later = events[events.index(shown) :]
        touched = {
            one.item_id
            for entry in later
            if (one := signal(entry)) and entry.event.request_id == shown.event.request_id
        }
        assert set(case.targets) == touched & set(shown.event.items)
        assert case.given == tuple(dict.fromkeys(shown.event.items))


@given(dense, masks)
def test_next_basket_knows_exactly_what_lies_before_the_split(
    path: Path, log: list[dict[str, Any]], chosen: Chosen
) -> None:
    split_ms = SPLIT_MS
    opened_log = opened(path, log)
    steps = walked(PROTOCOLS["next-basket"](Chosen(split_ms=split_ms, masked=chosen.masked)), opened_log)
    known = [entry for entry in opened_log if entry.at_ms < split_ms]
    for case, learned, _ in before_each_case(steps):
        assert learned == known
        assert case.at_ms >= split_ms
        bought = [one for entry in opened_log if entry.at_ms >= split_ms and (one := signal(entry))]
        assert set(case.targets) <= {one.item_id for one in bought if one.user_id == case.user_id}
    users = [case.user_id for case, _, _ in before_each_case(steps)]
    assert len(users) == len(set(users))


@given(logs, masks, st.booleans())
def test_holdout_last_knows_nothing_of_the_user_from_the_held_out_item_on(
    path: Path, log: list[dict[str, Any]], chosen: Chosen, strict: bool
) -> None:
    opened_log = opened(path, log)
    steps = walked(PROTOCOLS["holdout-last"](Chosen(masked=chosen.masked, strict=strict)), opened_log)
    last = {entry.event.user_id: entry for entry in opened_log if signal(entry)}
    cases = {case.user_id: learned for case, learned, _ in before_each_case(steps)}
    for case, learned, _ in before_each_case(steps):
        held_out = last[case.user_id]
        assert case.targets == (held_out.event.item_id,)  # type: ignore[union-attr]
        assert case.at_ms == held_out.at_ms
        assert all(entry.line < held_out.line for entry in learned if entry.event.user_id == case.user_id)
    everything = {entry.line for entry in opened_log if entry.event.user_id not in cases}
    (learned, *_) = cases.values()
    assert everything <= {entry.line for entry in learned}


@given(logs)
def test_strict_teaches_exactly_one_event_less_a_case(path: Path, log: list[dict[str, Any]]) -> None:
    opened_log = opened(path, log)
    free, strict = (walked(PROTOCOLS["holdout-last"](Chosen(strict=strict)), opened_log) for strict in (False, True))
    cases = only_cases(free)
    less = Counter(entry.event.user_id for entry in free if isinstance(entry, Entry) and entry not in strict)
    assert less == Counter(case.user_id for case in cases)
    again = only_cases(strict)
    assert [(c.user_id, c.history, c.targets) for c in again] == [(c.user_id, c.history, c.targets) for c in cases]


CHOSEN = {
    "prequential": Chosen(split_ms=SPLIT_MS),
    "next-basket": Chosen(split_ms=SPLIT_MS),
    "holdout-last": Chosen(strict=True),
    "rerank": Chosen(split_ms=SPLIT_MS),
}


@pytest.mark.parametrize("name", list(CHOSEN))
@given(log=dense)
def test_a_fit_sees_nothing_of_what_is_predicted(path: Path, log: list[dict[str, Any]], name: str) -> None:
    """What is fitted on is what the protocol itself teaches before its first case."""
    opened_log = opened(path, log)
    protocol = PROTOCOLS[name](CHOSEN[name])
    steps = walked(protocol, opened_log)
    before = protocol.before(opened_log)
    fitted = walked(before, opened_log)
    cases = only_cases(steps)
    known = steps
    if name == "holdout-last":  # the last item but one is known of its user, if not taught
        known = walked(PROTOCOLS[name](Chosen()), opened_log)
        for case in only_cases(fitted):
            own = [one for entry in opened_log if (one := signal(entry)) and one.user_id == case.user_id]
            assert (case.at_ms, *case.targets) == (own[-2].at_ms, own[-2].item_id)
    else:
        assert all(step.at_ms < SPLIT_MS for step in fitted)
        assert all(case.at_ms >= SPLIT_MS for case in cases)
    taught = [step for step in known if isinstance(step, Entry)]
    assert all(entry in taught for entry in fitted if isinstance(entry, Entry) and signal(entry))


@given(logs, st.sampled_from(ITEMS))
def test_what_comes_later_changes_nothing_of_a_prequential_walk(
    path: Path, log: list[dict[str, Any]], item: str
) -> None:
    shorter = walked(PROTOCOLS["prequential"](Chosen()), opened(path, log))
    more = {"type": "click", "user_id": "u1", "item_id": item, "at_ms": T0}
    longer = walked(PROTOCOLS["prequential"](Chosen()), opened(path, [*log, more]))
    assert longer[: len(shorter)] == shorter


@pytest.mark.parametrize("name", list(CHOSEN))
@given(log=dense, share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_a_hidden_item_teaches_nothing_and_only_such_are_asked_for(
    path: Path, log: list[dict[str, Any]], name: str, share: float, seed: int
) -> None:
    opened_log = opened(path, log)
    protocol = PROTOCOLS[name](replace(CHOSEN[name], hide=share, seed=seed))
    assert isinstance(protocol, Hidden)
    steps, whole = walked(protocol, opened_log), walked(PROTOCOLS[name](CHOSEN[name]), opened_log)
    taught = [step for step in steps if isinstance(step, Entry)]
    assert not any(protocol.hides(one.item_id) for step in taught if (one := signal(step)))
    left_out = [step for step in whole if isinstance(step, Entry) and step not in taught]
    assert all(protocol.hides(step.event.item_id) for step in left_out)  # type: ignore[union-attr]
    asked = [case.targets for case in only_cases(whole)]
    expected = [tuple(filter(protocol.hides, targets)) for targets in asked]
    assert [case.targets for case in only_cases(steps)] == [targets for targets in expected if targets]
    for case in only_cases(steps):
        assert not any(map(protocol.hides, case.history))
        assert case.unlearned <= len(case.history)


def test_about_the_share_is_hidden_and_another_seed_hides_others() -> None:
    one, other = (Hidden(Prequential(Chosen()), 0.1, seed) for seed in (1, 2))
    names = [f"item-{n}" for n in range(5_000)]
    hidden = [set(filter(protocol.hides, names)) for protocol in (one, other)]
    assert all(400 < len(some) < 600 for some in hidden)
    assert len(hidden[0] & hidden[1]) < 120
