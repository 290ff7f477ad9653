"""The referee in its thread: whoever has it beside them is told what ended it."""

from streams.commands.judging import Judging
from streams.errors import Misuse
from streams.settings import Settings
from tests.support import wait_until


def test_what_ended_the_referee_is_told_to_whom_it_is_beside() -> None:
    said: list[str] = []

    def told() -> bool:
        try:
            referee.check()
        except Misuse as exc:
            said.append(str(exc))
        return bool(said)

    with Judging(Settings(), lease=1) as referee:
        wait_until(told, what="the end of the referee")
    assert said == ["triton_repository: name the model repository that Triton serves"]
