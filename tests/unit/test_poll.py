"""What is polled may be away for a while: it is said once, and looking goes on."""

import asyncio
import logging

import pytest

from streams.errors import Unreachable
from streams.poll import poll


def test_it_looks_on_and_says_each_absence_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([None, "gone", "gone", None, "gone", None])

    async def look() -> None:
        answer = next(answers, "end")
        if answer == "end":
            raise asyncio.CancelledError
        if answer is not None:
            raise Unreachable(answer)

    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        asyncio.run(poll(look, 0.0, "it grows old"))
    assert caplog.messages == ["it grows old"] * 2


def test_what_is_no_absence_ends_it() -> None:
    async def look() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(poll(look, 0.0, "it grows old"))
