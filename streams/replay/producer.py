"""The producer of a replay: idempotent, partitioned by murmur2, its queue bounded, its topic looked at before."""

import logging
from typing import Any

from confluent_kafka import KafkaException, Producer

from streams.errors import Misuse
from streams.kafka_admin import TopicsMissing, describe, problems
from streams.settings import Settings

QUEUE_MESSAGES = 100_000
QUEUE_KBYTES = 64 * 1024
"""Bounds of what waits in the process for the broker."""
DELIVERY_TIMEOUT_S = 60.0
"""How long Kafka may be away before the replay gives up."""
_LINGER_FULL_MS, _LINGER_PACED_MS = 100, 20
"""Full speed lingers for large batches: the embedded broker slows as a partition collects small ones."""
_MAX_REQUEST_BYTES = 1 << 20


def open_producer(settings: Settings, topic: str, *, paced: bool) -> Producer:
    """Return the producer for `topic` (name on the broker); a paced one waits less for batches to fill.

    Raises:
        Misuse: the connection settings don't fit together.
        Unreachable: naming the address.
        TopicsMissing: the topic is missing or has another partition count than the settings.
    """
    wrong = problems(settings, describe(settings, [topic]))
    if wrong:
        raise TopicsMissing(f"Kafka at {settings.kafka_bootstrap}: {wrong[0]}")
    config: dict[str, Any] = {
        **settings.kafka_client_config(),
        "client.id": "streamrank-replay",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "linger.ms": _LINGER_PACED_MS if paced else _LINGER_FULL_MS,
        "message.max.bytes": _MAX_REQUEST_BYTES,
        "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
        "queue.buffering.max.messages": QUEUE_MESSAGES,
        "queue.buffering.max.kbytes": QUEUE_KBYTES,
    }
    try:
        return Producer(config, logger=logging.getLogger("librdkafka"))
    except KafkaException as exc:
        raise Misuse(f"kafka settings: {exc.args[0].str()}") from exc
