"""Topics on a broker that has just started again: one that isn't described yet is waited for."""

from collections.abc import Iterator, Sequence

import pytest

from streams import kafka_admin
from streams.kafka_admin import TopicState, restore_topics
from streams.settings import Settings
from tests.unit.building import settings


def test_a_topic_that_is_not_described_yet_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    own = settings()
    asked: Iterator[int] = iter(range(100))

    def describe(_: Settings, names: Sequence[str]) -> dict[str, TopicState | None]:
        late = next(asked) < 2
        known = {name: TopicState(name, "an id", own.partitions) for name in names}
        return known | {names[0]: None} if late else known

    monkeypatch.setattr(kafka_admin, "create_topics", lambda _: [])
    monkeypatch.setattr(kafka_admin, "describe", describe)
    restore_topics(own)
    assert next(asked) == 3
