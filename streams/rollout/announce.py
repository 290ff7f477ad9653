"""Tells the topic `models` what happened. Blocking.

Events are kept in Redis with the change that they tell of, and announced after it: a swap never waits for Kafka, and
what could not be told is told by the next command. An event may come twice, with the same bytes.
"""

from streams.contracts.models import encode
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.tell import tell


async def announce(pointer: Pointer, settings: Settings) -> None:
    """Publish what isn't on the topic yet.

    Raises:
        Unreachable: Kafka is away; the events are kept.
    """
    events = await pointer.unannounced()
    if events:
        tell([(event.model, encode(event)) for event in events], settings)
        await pointer.announced(events[-1].revision)
