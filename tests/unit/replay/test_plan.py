"""What options of a replay mean together, and which don't go together."""

import json
from pathlib import Path

import pytest

from streams.cli import run
from streams.commands.values import Moment
from streams.contracts.wire import MIN_AT_MS
from streams.errors import Misuse
from streams.replay import Plan, Span

NOW = 1_790_000_000_000
DAY = 86_400_000
YEAR = 365 * DAY
WEEK = Span(8, 8, NOW - 5 * YEAR, NOW - 5 * YEAR + 7 * DAY)


def test_at_full_speed_the_latest_event_of_the_last_round_is_now() -> None:
    for rounds in (1, 2, 5):
        timeline = Plan(to_now=True, rounds=rounds).timeline(WEEK, NOW, DAY)
        assert timeline.moved_ms(WEEK.latest_ms, rounds - 1) == NOW
        assert timeline.moved_ms(WEEK.earliest_ms, 0) == NOW - 7 * DAY - (rounds - 1) * 8 * DAY


def test_at_a_tempo_the_first_event_is_dated_when_it_is_published_and_the_others_by_the_clock() -> None:
    for rounds in (1, 3, None):
        timeline = Plan(to_now=True, speed=7.0, rounds=rounds).timeline(WEEK, NOW, DAY)
        timeline.begin(WEEK.earliest_ms, NOW + 99)
        assert timeline.moved_ms(WEEK.earliest_ms, 0) == NOW + 99
        assert timeline.moved_ms(WEEK.latest_ms, 0) == NOW + 99 + DAY


def test_original_times_are_kept_and_later_rounds_follow() -> None:
    assert Plan().timeline(Span(), NOW, DAY).moved_ms(5, 0) == 5
    timeline = Plan(rounds=2).timeline(WEEK, NOW, DAY)
    assert timeline.moved_ms(WEEK.latest_ms, 0) == WEEK.latest_ms
    assert timeline.moved_ms(WEEK.earliest_ms, 1) == WEEK.latest_ms + DAY


def test_a_log_is_read_before_only_if_its_span_counts() -> None:
    assert [plan.needs_span for plan in (Plan(), Plan(speed=2.0), Plan(to_now=True, speed=2.0))] == [False] * 3
    assert [plan.needs_span for plan in (Plan(rounds=2), Plan(to_now=True), Plan(rounds=None))] == [True] * 3


def test_rounds_that_end_in_the_future_are_refused() -> None:
    rounds = (5 * YEAR + DAY) // (8 * DAY)
    Plan(rounds=rounds).timeline(WEEK, NOW, DAY)
    with pytest.raises(
        Misuse, match=rf"^--loop {rounds + 1}: the last round would end on 2026-09-\d\d: use --times now"
    ):
        Plan(rounds=rounds + 1).timeline(WEEK, NOW, DAY)
    with pytest.raises(Misuse, match="thousands of years away"):
        Plan(rounds=10**9).timeline(WEEK, NOW, DAY)


def test_rounds_that_begin_before_all_times_are_refused() -> None:
    rounds = 1 + (NOW - 7 * DAY - MIN_AT_MS) // (8 * DAY)
    Plan(to_now=True, rounds=rounds).timeline(WEEK, NOW, DAY)
    with pytest.raises(Misuse, match=r"the first round would begin on 1994-12-\d\d: give --speed a number"):
        Plan(to_now=True, rounds=rounds + 1).timeline(WEEK, NOW, DAY)


TIME = "2017-11-01T00:00Z"
BAD = [
    (["--since", "yesterday"], "yesterday is no time: write it as 2017-11-01T00:00Z"),
    (["--since", "2017-11-01"], "2017-11-01 has no zone"),
    (["--until", "2017-13-01T00:00Z"], "2017-13-01T00:00Z is no time"),
    (["--until", "1509494400"], "1509494400 is not between 1995 and 2100"),
    (["--since", "1800-01-01T00:00Z"], "is not between 1995 and 2100"),
    (["--since", TIME, "--until", TIME], "--since is not before --until"),
    (["--type", "buy"], "'buy' is not one of 'view'"),
    (["--type", "absorb"], "'absorb' is not one of"),
    (["--user", ""], "--user: a user id has 1 to 128 characters"),
    (["--user", "u" * 129], "--user: a user id has 1 to 128 characters"),
    (["--times", "later"], "'later' is not one of 'original', 'now'"),
    (["--loop", "0"], "0 is neither a whole number from 1 to 1,000,000 nor forever"),
    (["--loop", "1.5"], "1.5 is neither a whole number"),
    (["--loop", "9" * 400, "--times", "now"], "is neither a whole number from 1 to 1,000,000 nor forever"),
    (["--loop", "2", "--speed", "1e-310"], "1e-310 is neither a number from 0.001 to 1,000,000,000 nor max"),
    (["--speed", "inf"], "inf is neither a number from"),
    (["--speed", "nan"], "nan is neither a number from"),
    (["--loop", "2", "--from", "5"], "--from resumes a log and --loop begins it again"),
    (["--loop", "forever", "--verify", "--times", "now", "--speed", "1"], "nothing to --verify"),
    (["--loop", "forever"], "--loop forever needs --times now and a number as --speed"),
    (["--loop", "forever", "--times", "now"], "--loop forever needs --times now and a number as --speed"),
    (["--loop", "forever", "--speed", "2"], "--loop forever needs --times now and a number as --speed"),
    (["--items", "--type", "click"], "--items: a catalogue has no events"),
    (["--items", "--times", "now"], "--items: a catalogue has no events"),
    (["--items", "--loop", "2"], "--items: a catalogue has no events"),
    (["--loop", "9999"], "log.jsonl: --loop 9999: the last round would end"),
    (["--loop", "2", "--user", "nobody"], "log.jsonl: none of its lines is an event that was asked for"),
    (["--times", "now", "--type", "view"], "log.jsonl: none of its lines is an event that was asked for"),
]


@pytest.mark.parametrize(("options", "said"), BAD, ids=[" ".join(options)[:40] for options, _ in BAD])
def test_bad_options_are_one_sentence_and_nothing_is_published(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there: what went on to publish would say so, and exit with 1.
    monkeypatch.setenv("STREAMRANK_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    log = tmp_path / "log.jsonl"
    events = [{"type": "click", "user_id": "u", "item_id": "i", "at_ms": NOW - YEAR + day * DAY} for day in range(9)]
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    assert run(["replay", str(log), *options]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


@pytest.mark.parametrize("value", ["1509494400000", TIME, "2017-11-01T02:00+02:00", "2017-10-31 19:00:00-05:00"])
def test_a_moment_is_written_with_its_zone_or_in_milliseconds(value: str) -> None:
    assert Moment().convert(value, None, None) == 1_509_494_400_000
