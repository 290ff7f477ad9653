import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from inference.ranker import Ranker
from inference.tensors import HISTORY, MAX_ID, SEEDS
from streams.contracts.slates import Slate, encode
from streams.features.item import digest_of
from streams.features.user import EMPTY
from streams.online.learner import Learner
from streams.online.score import Scorer
from streams.recommend import LANES, Ask, Recommender
from streams.retrieval.blend import Retriever
from streams.retrieval.pairs import AFTER, BEFORE, ITEM
from tests.unit.building import T0, DeadRanker, RowRanker, at, event, folded, item
from tests.unit.online.records import feedback, shown
from tests.unit.shop import Shop


def shop(ranker: Ranker | None = None) -> Shop:
    made = Shop(*(item(f"i{n}", title=f"thing {n}", category=["c", f"c{n % 3}"]) for n in range(30)))
    made.sold(**{f"i{n}": n for n in range(1, 30)}).together("i1", "i2").together("i1", "i3", 4000)
    made.recommender = Recommender(made.catalogue, made.counters, made.recommender.retriever, ranker, 0.1)
    return made


def slates(made: Shop, *asks: Ask) -> list[Slate]:
    prepared = [made.recommender.prepare(ask) for ask in asks]
    ranked, because = asyncio.run(made.recommender.rank(prepared))
    return [
        made.recommender.slate(
            one, ranked.p[n] if ranked else None, ranked.model if ranked else None, because, one.ask.received_ms + 5
        )
        for n, one in enumerate(prepared)
    ]


VIEWER = folded((event("view", item_id="i1"), T0))


def test_a_ranked_slate_says_all_about_itself() -> None:
    made = shop(RowRanker())
    (slate,) = slates(made, made.ask(state=VIEWER, k=5))
    assert (slate.slate_id, slate.request_id, slate.user_id, slate.kind) == ("0-0-7", "r", "u1", "for_you")
    assert (slate.model, slate.served_by, slate.because) == ("rows/1", "triton", None)
    assert (slate.at_ms, slate.latency_ms) == (T0 + 5, 5.0)
    scores = [one.score for one in slate.items]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    for one in slate.items:
        assert one.p is not None
        assert all(0 <= value <= 1 for value in one.p.values())
        assert one.propensity == 1.0
        assert one.source in made.recommender.retriever.source_names


def test_each_ask_is_scored_by_whoever_ranks_for_its_user_in_the_order_of_the_asks() -> None:
    made, ours, theirs = shop(), RowRanker(), RowRanker()
    theirs.model = "rows/2"

    def route(users: Sequence[str]) -> list[tuple[Ranker, list[int]]]:
        odd = [place for place, user in enumerate(users) if int(user) % 2]
        return [(theirs, odd), (ours, sorted(set(range(len(users))) - set(odd)))]

    recommender = Recommender(made.catalogue, made.counters, made.recommender.retriever, None, 0.1, route)
    prepared = [recommender.prepare(made.ask(state=VIEWER, user_id=str(n))) for n in range(5)]
    scored = asyncio.run(recommender.score(prepared))
    assert [model for _, model, _ in scored] == ["rows/1", "rows/2", "rows/1", "rows/2", "rows/1"]
    assert (len(ours.calls), len(theirs.calls)) == (1, 1)


def test_without_an_answer_the_blend_decides_and_the_slate_says_why() -> None:
    for ranker, why in ((None, "no ranker is configured"), (DeadRanker(), "ranker/7 did not answer within 100 ms")):
        made = shop(ranker)
        (slate,) = slates(made, made.ask(state=VIEWER, k=10))
        assert (slate.model, slate.served_by, slate.because) == (None, "popular", why)
        assert len(slate.items) == 10
        assert all(one.p is None for one in slate.items)
        blended = made.names(made.recommender.prepare(made.ask(state=VIEWER)).candidates.items.tolist())
        assert {one.item_id for one in slate.items} == set(blended[:10])


def test_one_call_ranks_all_and_a_slate_doesnt_depend_on_its_neighbours() -> None:
    ranker = RowRanker()
    made = shop(ranker)
    asks = [
        made.ask(state=VIEWER), made.ask("similar", item_id="i1"), made.ask("rerank", items=["i4"]),
        made.ask("search", query="thing"), made.ask("rerank", items=["i5"], filters={"brand": ["none"]}), made.ask(),
    ]  # fmt: skip
    together = slates(made, *asks)
    assert len(ranker.calls) == 1
    assert together == [slate for ask in asks for slate in slates(made, ask)]


def test_without_candidates_nobody_is_asked() -> None:
    ranker = RowRanker()
    made = shop(ranker)
    (slate,) = slates(made, made.ask("rerank", items=["i1"], filters={"brand": ["none"]}))
    assert (slate.items, slate.model, slate.served_by, slate.because) == ([], None, "popular", "no candidates")
    assert ranker.calls == []


def test_tensors_are_padded_with_zeros() -> None:
    made = shop()
    asks = (made.ask("rerank", items=["i1", "i2"]), made.ask("rerank", VIEWER, items=["i3"]))
    prepared = [made.recommender.prepare(ask) for ask in asks]
    inputs = made.recommender.tensors(prepared)
    assert inputs.item_ids.shape == (2, made.recommender.retriever.limit)
    assert (inputs.item_ids[:, :2] > 0).tolist() == [[True, True], [True, False]]
    assert not inputs.item_ids[:, 2:].any()
    assert not inputs.features[1, 1:].any()
    assert not inputs.pairs[1, 1:].any()
    assert np.array_equal(inputs.features[1, 0], prepared[1].features[0])
    assert inputs.history_ids.shape == (2, HISTORY)
    assert np.count_nonzero(inputs.history_ids, axis=1).tolist() == [0, 1]


@pytest.mark.parametrize(("limit", "given"), [(1, 2), (37, 2), (200, 2), (37, 43)])
def test_candidates_fill_whole_vector_registers(limit: int, given: int) -> None:
    """Else the rounding of a row would depend on how many are ranked with it."""
    made = shop()
    made.recommender.retriever = Retriever(limit)
    prepared = [made.recommender.prepare(made.ask("rerank", items=[f"i{n}" for n in range(given)]))]
    padded = made.recommender.tensors(prepared).item_ids.shape[1]
    assert padded % LANES == 0
    assert 0 <= padded - max(limit, given) < LANES


@pytest.mark.parametrize(
    ("kind", "viewed", "asked"),
    [
        ("for_you", 3, {}), ("for_you", SEEDS + 4, {}), ("similar", 3, {"item_id": "i7"}), ("for_you", 0, {}),
        ("bundle", 3, {"items": ["i4", "i5"]}), ("rerank", 3, {"items": ["i9", "i1", "i20", "fresh"]}),
    ],
)  # fmt: skip
def test_the_counts_of_each_seed_with_each_candidate_are_those_of_the_counters(
    kind: str, viewed: int, asked: dict[str, object]
) -> None:
    made = shop()
    for first in range(25):
        for then in range(0, 30, 3):
            if first != then:
                made.together(f"i{first}", f"i{then}", 1 + 100 * first + then)
    state = folded(*((event("view", item_id=f"i{n}"), at(n)) for n in range(viewed)))
    one = made.recommender.prepare(made.ask(kind, state, **asked))
    inputs = made.recommender.tensors([one])
    seeds = made.asked(kind, state, **asked).seeds.tolist()
    popular = made.counters.popularity.counts("popular", len(made.catalogue)) / 65_536
    assert len(seeds) == min(SEEDS, {"similar": 1, "bundle": 2}.get(kind, viewed))
    pairs, found = np.zeros_like(inputs.pairs[0]), False
    for s, seed in enumerate(seeds):
        known = made.counters.pairs.neighbours(seed)
        for other, forward, backward in known[:, (ITEM, AFTER, BEFORE)].tolist():
            for k in np.flatnonzero(one.candidates.items == other):
                pairs[k, s], pairs[k, SEEDS + s], found = forward, backward, True
    assert found == bool(viewed)
    assert np.array_equal(inputs.pairs[0], pairs)
    assert np.array_equal(inputs.seeds[0, : len(seeds)], popular[seeds].astype(np.float32))
    assert not inputs.seeds[0, len(seeds) :].any()


def test_hashed_ids_are_those_of_candidates_and_history() -> None:
    made = shop()
    one = made.recommender.prepare(made.ask(state=VIEWER))
    inputs = made.recommender.tensors([one])
    real = inputs.item_ids[0, : len(one.candidates.items)]
    expected = [digest_of(name) % MAX_ID + 1 for name in made.names(one.candidates.items.tolist())]
    assert real.tolist() == expected
    assert inputs.history_ids[0].tolist() == [digest_of("i1") % MAX_ID + 1] + [0] * (HISTORY - 1)


def test_a_bundle_starts_from_what_is_given_or_from_the_cart() -> None:
    made = shop()
    state = folded((event("cart", item_id="i1"), T0), (event("view", item_id="i9"), at(1)))
    seeds = made.names(made.asked("bundle", state).seeds.tolist())
    assert seeds == ["i1"]
    assert made.names(made.asked("bundle", state, items=["i5", "i6", "i5"]).seeds.tolist()) == ["i6", "i5"]
    assert made.names(made.asked("bundle", EMPTY, items=[f"i{n}" for n in range(15)]).seeds.tolist())[0] == "i14"


def test_latency_is_never_negative() -> None:
    made = shop()
    prepared = made.recommender.prepare(made.ask())
    assert made.recommender.slate(prepared, None, None, "why", T0 - 1).latency_ms == 0.0


def test_more_probabilities_than_candidates_are_padding() -> None:
    made = shop()
    prepared = made.recommender.prepare(made.ask("rerank", items=["i1"]))
    p = np.full((9, 3), 0.5, np.float32)
    assert len(made.recommender.slate(prepared, p, "m", None, T0).items) == 1


def learned(*clicked: str) -> Scorer:
    """What a learner publishes after many clicks on these items."""
    learner = Learner("ranker")
    for number in range(300):
        names = [*clicked, f"i{number % 30}"]
        items = [shown(name, n, 0.1, name in clicked, category="c") for n, name in enumerate(names)]
        learner.take(feedback(items, number))
    return Scorer(learner.snapshot())


def listened(made: Shop, ranker: Ranker | None, scorer: Scorer | None) -> Slate:
    retriever = made.recommender.retriever
    made.recommender = Recommender(made.catalogue, made.counters, retriever, ranker, 0.1, scorer=lambda: scorer)
    (slate,) = slates(made, made.ask(state=VIEWER, k=5))
    return slate


def test_clicks_that_were_learned_bring_an_item_up_and_the_slate_says_who_had_a_say() -> None:
    made = shop()
    before = listened(made, RowRanker(), None)
    last = before.items[-1].item_id
    after = listened(made, RowRanker(), learned(last))
    place = [one.item_id for one in after.items].index(last)
    assert place < len(before.items) - 1
    assert after.items[place].score > before.items[-1].score
    assert after.items[place].p == before.items[-1].p  # as the ranker said
    assert (after.served_by, after.model, after.online) == ("triton", before.model, 1)


def test_without_a_ranker_the_online_model_decides_if_there_is_one() -> None:
    made = shop()
    slate = listened(made, DeadRanker(), learned("i7"))
    assert (slate.served_by, slate.model, slate.online) == ("online", None, 1)
    assert slate.because == "ranker/7 did not answer within 100 ms"
    assert slate.items[0].item_id == "i7"
    assert all(one.p is None and 0 <= one.score <= 1 for one in slate.items)


def test_without_a_snapshot_a_slate_doesnt_know_of_the_online_model() -> None:
    assert b"online" not in encode(listened(shop(), RowRanker(), None))


def test_with_one_snapshot_the_same_request_gets_the_same_slate() -> None:
    made = shop()
    scorer = learned("i7")
    assert listened(made, RowRanker(), scorer) == listened(shop(), RowRanker(), scorer)
