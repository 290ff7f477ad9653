"""When a silent partition is ticked, and with what time."""

from streams.agents.tick import Silence
from streams.contracts.events import Tick

WATERMARK = 1_700_000_000_000


def due(silence: Silence, heard: dict[int, float], now_s: float, now_ms: int = 2 * WATERMARK) -> list[Tick]:
    return list(silence.due(heard, now_s, now_ms))


def test_no_tick_while_no_watermark_is_known() -> None:
    silence = Silence(5_000)
    silence.see({0: 0, 1: 0}, 0.0)
    assert due(silence, {0: 0.0, 1: 0.0}, 100.0) == []


def test_a_silent_partition_is_ticked_once_each_interval_with_the_time_that_passed() -> None:
    silence = Silence(5_000)
    silence.see({0: WATERMARK, 1: 0}, 10.0)
    heard = {0: 14.0, 1: 8.0}
    assert due(silence, heard, 15.0) == [Tick(partition=1, at_ms=WATERMARK + 5_000)]
    assert due(silence, heard, 16.0) == []
    assert due(silence, heard, 20.0) == [
        Tick(partition=0, at_ms=WATERMARK + 10_000),
        Tick(partition=1, at_ms=WATERMARK + 10_000),
    ]


def test_a_tick_is_never_after_now() -> None:
    silence = Silence(5_000)
    silence.see({0: WATERMARK}, 0.0)
    assert due(silence, {0: 0.0}, 50.0, WATERMARK + 1)[0].at_ms == WATERMARK + 1
