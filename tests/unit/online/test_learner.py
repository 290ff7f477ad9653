import math

import numpy as np
import pytest

from inference.tensors import FEATURES
from streams.contracts.slates import Forgotten
from streams.features.item import digest_of
from streams.online.learner import Learner
from streams.online.model import Judged, OnlineModel, log_loss
from streams.online.saved import Saved
from streams.online.snapshot import decode, encode
from tests.unit.building import T0
from tests.unit.online.records import feedback, shown, stream


def state(learner: Learner) -> bytes:
    """All that a learner knows, to the bit."""
    return encode(learner.saved())


def resumed(learner: Learner) -> Learner:
    return Learner(learner.model, decode(Saved, state(learner)))


def mean_loss(judged: list[Judged], name: str) -> float:
    return float(np.mean([log_loss(one.clicked, getattr(one, name)).mean() for one in judged]))


@pytest.mark.parametrize("killed_at", [0, 1, 700, 1_499])
def test_a_learner_that_goes_on_from_what_it_saved_equals_one_that_never_stopped(killed_at: int) -> None:
    """Beyond the warm-up of drift, with all of its detectors at work."""
    whole = Learner("ranker")
    broken = Learner("ranker")
    for offset, record in enumerate(stream(1_500)):
        whole.learn(record, 0, offset)
        broken.learn(record, 0, offset)
        if offset == killed_at:
            broken = resumed(broken)
            broken.version = 0
    assert state(broken) == state(whole)
    assert encode(broken.snapshot()) == encode(whole.snapshot())


def test_the_losses_told_early_are_the_means_of_all_that_came() -> None:
    learner = Learner("ranker")
    judged = [one for record in stream(40) if (one := learner.take(record))]
    assert learner.losses == pytest.approx(
        {
            "ranker": mean_loss(judged, "ranker"),
            "online": mean_loss(judged, "online"),
            "blend": mean_loss(judged, "blended"),
        }
    )


def test_what_is_repeated_changes_nothing_but_its_count() -> None:
    learner = Learner("ranker")
    records = list(stream(50))
    for offset, record in enumerate(records):
        learner.learn(record, 0, offset)
    before = encode(learner.snapshot())
    for offset, record in enumerate(records):
        assert learner.learn(record, 0, offset) is None  # the same message
        assert learner.learn(record, 0, len(records) + offset) is None  # the same record, published again
    assert encode(learner.snapshot()) == before
    assert (learner.counts["learned"], learner.counts["repeated"]) == (50, 50)


def test_ids_grow_as_numbers_and_each_partition_has_its_own() -> None:
    learner = Learner("ranker")
    for partition, offset, number in [(0, 0, "0-0-9-0"), (0, 1, "0-0-10-0"), (0, 2, "1-0-2-0"), (1, 0, "0-1-3-0")]:
        assert learner.learn(feedback([shown("i1")], feedback_id=number), partition, offset) is not None
    assert learner.learn(feedback([shown("i1")], feedback_id="0-0-11-0"), 0, 3) is None


def test_a_topic_that_was_made_anew_is_read_from_its_start_and_nothing_is_learned_twice() -> None:
    learner = Learner("ranker")
    learner.read_from("a")
    learner.learn(feedback([shown("i1")], 5), 0, 7)
    learner.read_from("a")
    assert learner.next_offset(0) == 8
    learner.read_from("b")
    assert learner.next_offset(0) == 0
    assert learner.learn(feedback([shown("i1")], 5), 0, 0) is None
    assert learner.learn(feedback([shown("i1")], 6), 0, 1) is not None


def test_messages_that_teach_nothing_are_passed_over_and_counted() -> None:
    learner = Learner("ranker")
    learner.learn(Forgotten(feedback_id="0-0-1", user_sha256="x", at_ms=T0), 0, 0)
    learner.refuse(0, 1)
    learner.learn(feedback([shown("i1", features=[0.0] * (len(FEATURES) - 1))], 1), 0, 2)
    learner.learn(feedback([shown("i1", seen=False)], 2), 0, 3)
    learner.learn(feedback([shown("i1")], feedback_id="odd"), 0, 4)
    learner.learn(feedback([shown("i1")], feedback_id=f"0-0-{2**64}-0"), 0, 5)
    learner.learn(feedback([shown("i1")], 3), 0, 9)
    learner.refuse(0, 12)
    assert learner.counts == {"learned": 1, "unseen": 1, "repeated": 0, "refused": 5, "lost": 5}
    assert learner.next_offset(0) == 13
    assert state(resumed(learner))


def test_a_record_that_breaks_the_model_is_refused_and_counts_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner("ranker")
    learner.learn(feedback([shown("i1")], 0), 0, 0)
    with monkeypatch.context() as patch:
        patch.setattr(OnlineModel, "take", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            learner.learn(feedback([shown("i1")], 1), 0, 1)
    learner.refuse(0, 1)
    learner.learn(feedback([shown("i1")], 2), 0, 2)
    assert learner.counts == {"learned": 2, "unseen": 0, "repeated": 0, "refused": 1, "lost": 0}


def test_it_learns_what_the_ranker_has_wrong_and_the_blend_is_never_far_from_the_better_one() -> None:
    learner = Learner("ranker")
    judged = [one for record in stream(4_000) if (one := learner.take(record))]
    ranker, online, blended = (mean_loss(judged[-2_000:], name) for name in ("ranker", "online", "blended"))
    assert online < ranker - 0.02
    assert blended <= min(online, ranker) + 0.001


def test_before_any_record_it_says_what_the_ranker_says() -> None:
    judged = Learner("ranker").take(feedback([shown(f"i{n}", n, 0.03 * (n + 1)) for n in range(10)]))
    assert judged is not None
    assert judged.ranker is not None
    assert np.allclose(judged.online, judged.ranker, atol=1e-12)
    assert np.allclose(judged.blended, judged.ranker, atol=1e-12)


def test_without_a_ranker_it_learns_alone() -> None:
    learner = Learner("ranker")
    judged = [one for record in stream(3_000, ranked=False) if (one := learner.take(record))]
    assert all(one.ranker is None for one in judged)
    assert mean_loss(judged[-500:], "online") < mean_loss(judged[:500], "online")


def test_what_an_item_owes_to_its_position_isnt_held_for_its_worth() -> None:
    """Of two items that are as good as all others, one always stands first, and one last, where a third clicks."""
    learner, rng = Learner("ranker"), np.random.default_rng(3)
    for number in range(4_000):
        ends = ["first", f"o{rng.integers(50)}"] if number % 2 else [f"o{rng.integers(50)}", "last"]
        first, last = rng.random(2) < (0.3, 0.1)
        learner.take(feedback([shown(ends[0], 0, 0.2, bool(first)), shown(ends[1], 9, 0.2, bool(last))], number))
    items = learner.snapshot().items
    residuals = dict(zip(np.frombuffer(items.ids, np.uint64).tolist(), np.frombuffer(items.values), strict=True))
    naive = math.log(0.3 / 0.1)
    assert abs(residuals[digest_of("first")] - residuals[digest_of("last")]) < naive / 3


def test_what_a_residual_brought_itself_is_not_expected_of_its_item() -> None:
    """Or it would be taken back as soon as the model believes it: one item is clicked four times as often as said."""
    learner, rng = Learner("ranker"), np.random.default_rng(4)
    for number in range(2_000):
        names = rng.permutation(["good", *(f"o{n}" for n in rng.choice(50, 9, replace=False))])
        clicked = rng.random(10) < np.where(names == "good", 0.4, 0.1)
        rows = enumerate(zip(names.tolist(), clicked.tolist(), strict=True))
        learner.take(feedback([shown(one, n, 0.1, was, source="covisit") for n, (one, was) in rows], number))
    items = learner.snapshot().items
    residuals = dict(zip(np.frombuffer(items.ids, np.uint64).tolist(), np.frombuffer(items.values), strict=True))
    assert residuals[digest_of("good")] > 0.6 * math.log(4)


def test_drift_is_found_in_the_features_and_told_with_the_model_and_the_time() -> None:
    learner = Learner("ranker")
    rng = np.random.default_rng(5)
    for number in range(4_000):
        features = rng.normal(0.5, 0.1, len(FEATURES))
        features[3] += number >= 3_000
        learner.take(feedback([shown("i1", p=0.1, features=features.tolist())], number))
    assert [(one.model, one.signal) for one in learner.found] == [("ranker", FEATURES[3])]
    (found,) = learner.found
    assert T0 + 3_000_000 < found.at_ms < T0 + 3_300_000
    assert found.evidence["after"] > found.evidence["before"] + 0.3
    assert resumed(learner).found == learner.found
