"""Publishing to topics that callers name: those that aren't there cost one wait, and hide no other."""

import asyncio
import json
from typing import Any

import pytest

from streams.agents import publish
from streams.agents.publish import Publisher
from streams.store.base import Message
from tests.unit.building import settings


class Producer:
    """Knows the topic `here`; a search for any other never ends."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.searched: list[str] = []
        self.searching = self.most_searching = 0

    async def partitions_for(self, topic: str) -> set[int]:
        self.searched.append(topic)
        self.searching += 1
        self.most_searching = max(self.most_searching, self.searching)
        try:
            if topic != "here":
                await asyncio.Event().wait()
        finally:
            self.searching -= 1
        return {0}

    async def send(self, topic: str, value: bytes, **_: Any) -> Any:
        self.sent.append((topic, value))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def test_topics_that_arent_there_are_looked_for_together_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "UNKNOWN_TOPIC_S", 0.01)
    producer = Producer()

    async def scenario() -> None:
        publisher = Publisher(settings())
        publisher._producer = producer  # noqa: SLF001
        names = ["recommendations", "here", *(f"nowhere-{n}" for n in range(30))]
        messages = [Message(name, b"u1", b"{}") for name in names]
        await publisher.publish(messages)
        await publisher.publish(messages)

    asyncio.run(scenario())
    assert producer.most_searching >= 30
    assert sorted(set(producer.searched)) == sorted({"here", *(f"nowhere-{n}" for n in range(30))})
    assert len(producer.searched) == 31 + 1
    assert producer.searching == 0
    topics = [topic for topic, _ in producer.sent]
    assert {topic: topics.count(topic) for topic in topics} == {"recommendations": 2, "here": 2, "dead-letters": 60}
    letters = [json.loads(value) for topic, value in producer.sent if topic == "dead-letters"]
    assert {letter["topic"] for letter in letters} == {f"nowhere-{n}" for n in range(30)}
    assert {letter["path"] for letter in letters} == {"$.reply_to"}
