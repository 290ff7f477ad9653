"""Tells the topic `models` what happened. Blocking; uses confluent-kafka.

Events are kept in Redis with the change that they tell of, and announced after it: a swap never waits for Kafka, and
what could not be told is told by the next command. An event may come twice, with the same bytes.
"""

from collections.abc import Sequence

from confluent_kafka import KafkaException, Producer

from streams.contracts.models import ModelEvent, encode
from streams.contracts.topics import MODELS
from streams.errors import Misuse, Unreachable
from streams.rollout.pointer import Pointer
from streams.settings import Settings

DELIVERY_S = 5.0


async def announce(pointer: Pointer, settings: Settings) -> None:
    """Publish what isn't on the topic yet.

    Raises:
        Unreachable: Kafka is away; the events are kept.
    """
    events = await pointer.unannounced()
    if events:
        _publish(events, settings)
        await pointer.announced(events[-1].revision)


def _publish(events: Sequence[ModelEvent], settings: Settings) -> None:
    config = {
        **settings.kafka_client_config(),
        "client.id": "streamrank-models",
        "partitioner": "murmur2_random",
        "acks": "all",
        "message.timeout.ms": int(DELIVERY_S * 1000),
        "log_level": 0,
    }
    failures: list[str] = []
    try:
        producer = Producer(config)
    except KafkaException as exc:
        raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc
    for event in events:
        producer.produce(
            settings.topic(MODELS),
            encode(event),
            event.model,
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )
    left = producer.flush(DELIVERY_S + 1)
    if left or failures:
        why = failures[0] if failures else "timed out"
        raise Unreachable(
            f"Kafka at {settings.kafka_bootstrap} was not told of {left + len(failures)} changes of"
            f" {events[0].model} ({why}): they are kept, and told with the next command"
        )
