"""Topics read from their start to their end, once nobody writes to them any more."""

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.decode import Record
from streams.errors import Unreachable
from streams.settings import Settings

ANSWER_S = 20.0
_TO_THE_END = {
    "group.id": "chaos-reader",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,
}


def read(settings: Settings, topic: str) -> Iterator[Record]:
    """Yield every record of a topic (its name without prefix), partition by partition.

    The end is what a fetch tells: Tansu answers a question for it with the start of its last batch.
    """
    consumer = Consumer(settings.kafka_client_config() | _TO_THE_END)
    try:
        for p in range(settings.partitions):
            consumer.assign([TopicPartition(settings.topic(topic), p, 0)])
            yield from _partition(consumer, p)
    finally:
        consumer.close()


def _partition(consumer: Consumer, partition: int) -> Iterator[Record]:
    while (message := consumer.poll(ANSWER_S)) is not None:
        error = message.error()
        if error is None:
            yield Record(partition, message.offset(), message.key(), message.value(), message.timestamp()[1])
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  the public name of librdkafka's code
            return
        else:
            raise KafkaException(error)
    raise Unreachable(f"partition {partition} does not answer")
