"""Publishes messages on the topic `models` and waits until they are there. Blocking; uses confluent-kafka."""

from collections.abc import Sequence

from confluent_kafka import KafkaException, Producer

from streams.contracts.topics import MODELS
from streams.errors import Misuse, Unreachable
from streams.settings import Settings

DELIVERY_S = 5.0


def tell(messages: Sequence[tuple[str, bytes]], settings: Settings) -> None:
    """Publish keys and values, in this order.

    Raises:
        Unreachable: not all were delivered in time; keep them, and tell them again.
    """
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
    for key, value in messages:
        producer.produce(
            settings.topic(MODELS),
            value,
            key,
            on_delivery=lambda error, _: failures.append(error.str()) if error else None,
        )
    left = producer.flush(DELIVERY_S + 1)
    if left or failures:
        why = failures[0] if failures else "timed out"
        raise Unreachable(
            f"Kafka at {settings.kafka_bootstrap} was not told of {left + len(failures)} changes of"
            f" {messages[0][0]} ({why}): they are kept, and told later"
        )
