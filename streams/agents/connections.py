"""aiokafka on uvloop: writing to a connection that was reset is a lost connection, and nothing unexpected.

uvloop raises a RuntimeError there, where asyncio raises an OSError; aiokafka knows only the latter, and the task that
wrote ended for good: the worker read nothing any more, or never learned where the broker is. Redis has the same case,
see `store/connection.py`.
"""

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

CLOSED = "unable to perform operation on"
"""How uvloop's sentence begins."""

_send = AIOKafkaConnection.send


def _send_or_lose(connection: Any, *args: Any, **more: Any) -> Any:
    try:
        return _send(connection, *args, **more)
    except RuntimeError as exc:
        if not str(exc).startswith(CLOSED):
            raise
        connection.close(reason=CloseReason.CONNECTION_BROKEN)  # as aiokafka does after an OSError
        raise KafkaConnectionError(f"connection reset: {exc}") from exc


def lose_reset_connections() -> None:
    """Have every request of this process over a reset connection fail with KafkaConnectionError, which is tried again.

    All connections, not those of one client: requests for metadata, and a connection's first words, bypass its `send`.
    """
    AIOKafkaConnection.send = _send_or_lose
