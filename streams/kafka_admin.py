"""Topics: creating them, and finding out whether they are there as the settings say. Blocking; uses confluent-kafka.

A topic's id says whether it is still the same topic: one that was deleted and made anew has another.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from streams.contracts.topics import TOPICS
from streams.errors import Misuse, StreamrankError, Unreachable
from streams.settings import Settings

TIMEOUT_S = 10.0
CREATE_S = 30.0

_silent = logging.getLogger("librdkafka")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class TopicsMissing(StreamrankError):
    """Topics are missing or have another partition count: `streamrank topics create`, or correct `partitions`."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as the broker describes it."""

    name: str
    topic_id: str
    partitions: int


def admin(settings: Settings) -> AdminClient:
    """Return an admin client; nothing is sent yet.

    Raises:
        Misuse: the connection settings don't fit together.
    """
    config: dict[str, Any] = {
        **settings.kafka_client_config(),
        "client.id": "streamrank-admin",
        "socket.timeout.ms": int(TIMEOUT_S * 1000),
    }
    try:
        return AdminClient(config, logger=_silent)
    except KafkaException as exc:
        raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc


def describe(settings: Settings, names: Sequence[str], timeout_s: float = TIMEOUT_S) -> dict[str, TopicState | None]:
    """Return what the broker has of these topics (names on the broker), None where it has none.

    Raises:
        Unreachable: naming the address.
    """
    states: dict[str, TopicState | None] = {}
    client = admin(settings)  # dropping it would end its futures
    futures = client.describe_topics(TopicCollection(list(names)), request_timeout=timeout_s)
    for name, future in futures.items():
        try:
            topic = future.result(timeout_s + 1)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _unreachable(settings, exc.args[0].str()) from exc
            states[name] = None
        except TimeoutError as exc:
            raise _unreachable(settings, "timed out") from exc
        else:
            states[name] = TopicState(name, str(topic.topic_id), len(topic.partitions))
    return states


def topic_ids(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Return the id of each topic, "" for one that isn't there.

    Raises:
        Unreachable: naming the address.
    """
    return {name: state.topic_id if state else "" for name, state in describe(settings, names).items()}


def problems(settings: Settings, states: Mapping[str, TopicState | None]) -> list[str]:
    """Return a sentence for each topic that isn't there or has another partition count than the settings."""
    found = []
    for name, state in states.items():
        if state is None:
            found.append(f"topic {name} is missing: run `streamrank topics create`")
        elif state.partitions != settings.partitions:
            found.append(
                f"topic {name} has {state.partitions} partitions, the setting partitions says {settings.partitions}"
            )
    return found


def check_topics(settings: Settings) -> dict[str, TopicState]:
    """Return all of Streamrank's topics as they are on the broker.

    Raises:
        Unreachable: naming the address.
        TopicsMissing: naming the first topic that is missing or doesn't fit.
    """
    states = describe(settings, [settings.topic(topic.name) for topic in TOPICS])
    wrong = problems(settings, states)
    if wrong:
        raise TopicsMissing(f"Kafka at {settings.kafka_bootstrap}: {wrong[0]}")
    return {name: state for name, state in states.items() if state is not None}


def create_topics(settings: Settings) -> list[str]:
    """Create the topics that aren't there; return their names.

    Raises:
        Unreachable: naming the address.
        StreamrankError: the broker refuses one, or one that is there has another partition count.
    """
    states = describe(settings, [settings.topic(topic.name) for topic in TOPICS])
    unfit = problems(settings, {name: state for name, state in states.items() if state is not None})
    if unfit:
        raise TopicsMissing(f"Kafka at {settings.kafka_bootstrap}: {unfit[0]}; its count cannot change")
    wanted = [
        NewTopic(settings.topic(t.name), settings.partitions, settings.replication, config=dict(t.config))
        for t in TOPICS
        if states[settings.topic(t.name)] is None
    ]
    if not wanted:
        return []
    client = admin(settings)
    futures = client.create_topics(wanted, operation_timeout=CREATE_S, request_timeout=CREATE_S)
    return [name for name, future in futures.items() if _created(settings, name, future)]


def restore_topics(settings: Settings) -> None:
    """Make the topics anew on a broker that has just lost its log.

    Clients that were faster made some of them by asking for them, with the broker's own partition count. What lies in
    such a topic lies in wrong partitions: it goes.

    Raises:
        Unreachable: naming the address.
        StreamrankError: the broker refuses one.
    """
    deadline = time.monotonic() + CREATE_S
    while True:
        try:
            create_topics(settings)
            check_topics(settings)  # a client may have been faster just now
        except TopicsMissing:
            if time.monotonic() > deadline:
                raise
            _delete_unfit(settings)
        else:
            return


def _delete_unfit(settings: Settings) -> None:
    states = describe(settings, [settings.topic(topic.name) for topic in TOPICS])
    unfit = [name for name, state in states.items() if state is not None and state.partitions != settings.partitions]
    if not unfit:  # one is only not there yet
        return
    client = admin(settings)
    for future in client.delete_topics(unfit, operation_timeout=CREATE_S, request_timeout=CREATE_S).values():
        try:
            future.result(CREATE_S + 1)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise _unreachable(settings, exc.args[0].str()) from exc


def _created(settings: Settings, name: str, future: Any) -> bool:
    try:
        future.result(CREATE_S + 1)
    except KafkaException as exc:
        if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise StreamrankError(
            f"Kafka at {settings.kafka_bootstrap} does not create {name}: {exc.args[0].str()}"
        ) from exc
    return True


def _unreachable(settings: Settings, why: str) -> Unreachable:
    return Unreachable(
        f"Kafka at {settings.kafka_bootstrap} does not answer ({why}): start it, or correct kafka_bootstrap"
    )
