"""aiokafka on uvloop: writing to a connection that was reset is a lost connection, and nothing unexpected.

uvloop raises a RuntimeError there, where asyncio raises an OSError; aiokafka knows only the latter, and its fetcher
ended for good: the worker read nothing any more. Redis has the same case, see `store/connection.py`.
"""

from typing import Any

from aiokafka.errors import KafkaConnectionError

CLOSED = "unable to perform operation on"
"""How uvloop's sentence begins."""


def lose_reset_connections(client: Any) -> None:
    """Have every request over a reset connection fail with KafkaConnectionError, which aiokafka tries again."""
    send = client.send

    async def send_or_lose(*args: Any, **more: Any) -> Any:
        try:
            return await send(*args, **more)
        except RuntimeError as exc:
            if not str(exc).startswith(CLOSED):
                raise
            raise KafkaConnectionError(f"connection reset: {exc}") from exc

    client.send = send_or_lose
