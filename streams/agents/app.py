"""The Faust app: a consumer group over `events` and `items`, with nothing of Faust that Streamrank doesn't use.

No tables, no web server, no leader topic, no producer of Faust's (see `publish`), no waiting for streams to be empty.
"""

from pathlib import Path
from typing import Any

import faust
from faust.app.base import BootStrategy

from streams.agents.consumer import CHUNK_RECORDS, ChunkTransport, faust_log
from streams.agents.flow import Flow
from streams.agents.security import faust_credentials
from streams.settings import Settings

QUEUED_CHUNKS = 8
"""Chunks between Faust's consumer and an agent, of all partitions of a topic."""
POLL_RECORDS = 4_000
"""Records of one turn of the consumer; another turn can't begin before they are delivered."""
MAX_POLL_INTERVAL_S = 86_400.0
"""How long a partition may be paused (Redis away) before Kafka gives it to another worker."""


class ConsumerOnly(BootStrategy):  # type: ignore[misc]
    """What the app starts: the consumer, its agents, and no producer."""

    enable_kafka_producer = False
    enable_web = False


class App(faust.App):  # type: ignore[misc]
    """A Faust app that shares its `flow` with the tasks that apply what is read."""

    BootStrategy = ConsumerOnly
    logger = faust_log

    def __init__(self, settings: Settings, datadir: Path) -> None:
        self.flow = Flow()
        self.fetch_max_wait_ms = settings.kafka_fetch_max_wait_ms
        self.chunk_records = min(CHUNK_RECORDS, settings.batch_events)
        super().__init__(settings.kafka_group, **faust_settings(settings, datadir))

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)


def faust_settings(settings: Settings, datadir: Path) -> dict[str, Any]:
    """Return the settings of the Faust app."""
    brokers = ";".join(f"kafka://{address.strip()}" for address in settings.kafka_bootstrap.split(","))
    return {
        "broker": brokers,
        "broker_credentials": faust_credentials(settings),
        "broker_client_id": "streamrank",
        "broker_session_timeout": settings.kafka_session_timeout_s,
        "broker_heartbeat_interval": settings.kafka_session_timeout_s / 4,
        "broker_rebalance_timeout": max(settings.kafka_session_timeout_s, 10.0),
        "broker_request_timeout": max(settings.kafka_session_timeout_s * 2, 40.0),
        "broker_commit_interval": 1.0,
        "broker_max_poll_records": POLL_RECORDS,
        "broker_max_poll_interval": MAX_POLL_INTERVAL_S,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.kafka_instance_id,
        "datadir": str(datadir),
        "key_serializer": "raw",
        "value_serializer": "raw",
        "store": "memory://",
        "stream_buffer_maxsize": QUEUED_CHUNKS,
        "stream_wait_empty": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "topic_partitions": settings.partitions,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
        "logging_config": {"version": 1, "incremental": True},
        "reply_create_topic": False,
        "stream_recovery_delay": 0.0,
    }
