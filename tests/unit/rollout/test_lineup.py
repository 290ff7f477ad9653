from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.contracts.models import State
from streams.errors import Misuse
from streams.rollout import lineup as steps
from streams.rollout.lineup import Lineup

STEPS: dict[str, Callable[[Lineup, int], Lineup]] = {
    "shadow": steps.shadowed,
    "canary": lambda lineup, version: steps.canaried(lineup, version, 0.1),
    "promote": steps.promoted,
    "rollback": steps.rolled_back,
}


def validated(*versions: int) -> Lineup:
    """A lineup whose champion is 1, with these versions found good."""
    lineup = steps.first("ranker", 1)
    for version in versions:
        lineup = steps.judged(steps.published(lineup, version, "hash"), version, "hash", None, {})
    return lineup


def states(lineup: Lineup) -> dict[int, State]:
    return {version: known.state for version, known in lineup.versions.items()}


def test_a_promotion_keeps_the_champion_before_and_retires_the_one_before_that() -> None:
    lineup = steps.promoted(steps.promoted(validated(2, 3), 2), 3)
    assert states(lineup) == {1: "retired", 2: "previous", 3: "champion"}
    assert lineup.loaded == {2, 3}


def test_a_rollback_gives_the_place_back_and_there_is_no_second_one() -> None:
    lineup = steps.rolled_back(steps.promoted(validated(2), 2), 2)
    assert states(lineup) == {1: "champion", 2: "rolled back"}
    assert lineup.loaded == {1}
    with pytest.raises(Misuse, match="no previous champion"):
        steps.rolled_back(lineup, 1)


@pytest.mark.parametrize("role", ["shadow", "canary"])
def test_a_rollback_of_what_is_on_trial_leaves_the_champion(role: str) -> None:
    lineup = steps.rolled_back(STEPS[role](validated(2), 2), 2)
    assert states(lineup) == {1: "champion", 2: "rolled back"}
    assert (lineup.shadow, lineup.canary, lineup.canary_share) == (None, None, 0.0)


def test_a_trial_ends_with_its_evidence_and_only_while_it_runs() -> None:
    lineup = steps.canaried(validated(2, 3), 2, 0.1)
    good = steps.concluded(lineup, 2, True, {"lift": 0.1})
    assert states(good) == {1: "previous", 2: "champion", 3: "validated"}
    bad = steps.concluded(lineup, 2, False, {"lift": -0.1})
    assert states(bad) == {1: "champion", 2: "rolled back", 3: "validated"}
    assert (good.versions[2].metrics, bad.versions[2].metrics) == ({"lift": 0.1}, {"lift": -0.1})
    (event,) = (e for e in steps.changes(lineup, bad, at_ms=1, who="canary", why="worse") if e.version == 2)
    assert (event.before, event.after, event.metrics) == ("canary", "rolled back", {"lift": -0.1})
    with pytest.raises(Misuse, match="not the canary any more"):
        steps.concluded(bad, 2, True, {})


@pytest.mark.parametrize("role", ["shadow", "canary"])
def test_the_next_on_trial_takes_the_place_of_the_one_before(role: str) -> None:
    lineup = STEPS[role](STEPS[role](validated(2, 3), 2), 3)
    assert states(lineup)[2] == "validated"
    assert lineup.loaded == {1, 3}


def test_what_is_not_found_good_never_serves() -> None:
    rejected = steps.judged(steps.published(validated(), 2, None), 2, None, "it is bad", {})
    waiting = steps.published(validated(), 2, None)
    for step in (steps.shadowed, steps.promoted, STEPS["canary"]):
        for lineup, sentence in ((rejected, "rejected"), (waiting, "published"), (validated(), "never published")):
            with pytest.raises(Misuse, match=sentence):
                step(lineup, 2)


def test_a_number_that_may_have_been_served_is_not_used_again() -> None:
    lineup = validated(2)
    with pytest.raises(Misuse, match="validated already"):
        steps.published(lineup, 2, "hash")
    with pytest.raises(Misuse, match="above 2"):
        steps.published(steps.forgotten(lineup, {2}), 2, "hash")
    rejected = steps.judged(steps.published(lineup, 3, None), 3, None, "it is bad", {})
    assert states(steps.published(rejected, 3, "hash"))[3] == "published"


def test_a_verdict_is_of_what_was_judged() -> None:
    replaced = steps.published(steps.published(validated(), 2, "mine"), 2, "theirs")
    with pytest.raises(Misuse, match="somebody else"):
        steps.judged(replaced, 2, "mine", None, {})
    with pytest.raises(Misuse, match="somebody else"):
        steps.judged(validated(2), 2, "hash", "it is bad", {})


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_of_users_is_between_none_and_all(share: float) -> None:
    with pytest.raises(Misuse, match="share"):
        steps.canaried(validated(2), 2, share)


def test_events_tell_each_change_once() -> None:
    before = validated(2)
    after = steps.promoted(before, 2)
    events = list(steps.changes(before, after, at_ms=7, who="ann", why="better"))
    told = {event.version: (event.before, event.after) for event in events}
    assert told == {1: ("champion", "previous"), 2: ("validated", "champion")}
    assert {(e.revision, e.champion, e.at_ms, e.who, e.why) for e in events} == {
        (after.revision, 2, 7, "ann", "better")
    }
    assert [e.manifest_sha256 for e in events if e.version == 2] == ["hash"]


def test_a_rejection_says_why() -> None:
    before = steps.published(validated(), 2, None)
    (event,) = steps.changes(before, steps.judged(before, 2, None, "it is bad", {}), at_ms=7, who="ann", why="nightly")
    assert event.why == "it is bad"


@given(st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(1, 5)), max_size=30))
def test_whatever_operators_do_one_champion_serves_and_roles_say_what_states_say(tried: list[tuple[str, int]]) -> None:
    lineup = validated(2, 3, 4)
    for name, version in tried:
        try:
            after = STEPS[name](lineup, version)
        except Misuse:
            continue
        assert after.revision == lineup.revision + 1
        lineup = after
        roles = {"champion": after.champion, "previous": after.previous, "shadow": after.shadow, "canary": after.canary}
        held = {v: role for role, v in roles.items() if v is not None}
        assert len(held) == sum(v is not None for v in roles.values()), "no version has two places"
        assert {v: s for v, s in states(after).items() if s in roles} == held
        assert after.loaded == set(held)
