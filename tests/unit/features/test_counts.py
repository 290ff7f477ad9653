from streams.contracts import events as ev
from streams.features.counts import DAY_MS, MONTH_DAYS, count, new_counts
from streams.features.user import DISLIKED_UNTIL, UserState
from tests.unit.building import DAY, T0, event

D = T0 // DAY_MS
M = D // MONTH_DAYS


def counted(before: str, one: ev.UserEvent, at_ms: int = T0) -> dict[str, dict[str, int]]:
    counts = new_counts()
    count(counts, UserState(items=dict.fromkeys(before, 0)), one, at_ms)
    return dict(counts)


def test_each_signal_counts_on_its_day() -> None:
    for name, signal in {"view": "v", "click": "c", "cart": "a", "purchase": "p"}.items():
        assert counted("", event(name, item_id="x")) == {"i:x": {f"{D}:{signal}": 1}}
    assert counted("", event("view", item_id="x"), T0 - 3 * DAY) == {"i:x": {f"{D - 3}:v": 1}}


def test_other_events_count_nothing() -> None:
    for name in ("uncart", "search", "impression", "request", "forget", "alias"):
        one = event(name, item_id="x", value=5, text="", query="q", request_id="r", items=["x"], login="l")
        assert counted("ab", one) == {}


def test_pairs_are_directed_and_weigh_less_with_distance() -> None:
    weights = {"k": 1000, "j": 707, "i": 577, "h": 500, "g": 447, "f": 408, "e": 378, "d": 354, "c": 333, "b": 316}
    assert counted("abcdefghijk", event("view", item_id="x")) == {
        "i:x": {f"{D}:v": 1},
        "b:x": {f"{M}:{before}": weight for before, weight in weights.items()},
    }


def test_an_item_is_no_pair_with_itself_and_what_lay_before_it_was_counted_then() -> None:
    assert counted("abx", event("view", item_id="x")) == {"i:x": {f"{D}:v": 1}}
    assert counted("axb", event("view", item_id="x")) == {"i:x": {f"{D}:v": 1}, "b:x": {f"{M}:b": 1000}}


def test_counts_add_up() -> None:
    counts = new_counts()
    for _ in range(3):
        count(counts, UserState(items={"a": 0}), event("purchase", item_id="x"), T0)
    assert counts == {"i:x": {f"{D}:p": 3}, "b:x": {f"{M}:a": 3000}}


def test_what_was_rated_or_reviewed_counts_unless_it_was_disliked() -> None:
    both = {"i:x": {f"{D}:r": 1}, "b:x": {f"{M}:a": 1_000}}
    assert counted("a", event("review", item_id="x", text="good")) == both
    assert counted("a", event("rating", item_id="x", value=DISLIKED_UNTIL + 0.5)) == both
    assert counted("a", event("rating", item_id="x", value=DISLIKED_UNTIL)) == {}
