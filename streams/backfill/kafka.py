"""What a log with offsets has to do with Kafka: whose topic they belong to, and what its group is told. Blocking."""

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from streams.contracts.topics import EVENTS
from streams.errors import Unreachable
from streams.kafka_admin import TIMEOUT_S, TopicsMissing, admin, describe, problems
from streams.settings import Settings


def events_topic_id(settings: Settings) -> str:
    """Return the id of the `events` topic.

    Raises:
        Unreachable: naming the address.
        TopicsMissing: it isn't there, or has another partition count than the settings.
    """
    name = settings.topic(EVENTS)
    states = describe(settings, [name])
    state = states[name]
    if state is None or problems(settings, states):
        raise TopicsMissing(f"Kafka at {settings.kafka_bootstrap}: {problems(settings, states)[0]}")
    return state.topic_id


def show_applied(settings: Settings, next_offsets: Mapping[int, int]) -> None:
    """Commit these next offsets of `events` for the workers' group, so that its lag is what it seems.

    A partition of which nothing is applied must say 0: a worker takes an older commit there for state that was lost.

    Raises:
        Unreachable: naming the address.
    """
    name, group = settings.topic(EVENTS), settings.kafka_group
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(name, p, at) for p, at in next_offsets.items()])
    client = admin(settings)  # dropping it would end its futures
    try:
        done = client.alter_consumer_group_offsets([wanted], request_timeout=TIMEOUT_S)[group].result(TIMEOUT_S + 1)
        for one in done.topic_partitions:
            if one.error is not None:
                raise KafkaException(one.error)
    except (KafkaException, TimeoutError) as exc:
        why = exc.args[0].str() if isinstance(exc, KafkaException) else "timed out"
        raise Unreachable(
            f"Kafka at {settings.kafka_bootstrap} takes no offsets for the group {group} ({why}): run this again"
        ) from exc
