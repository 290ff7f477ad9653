"""A Faust app that does nothing, as a process: `python empty_agent.py BROKER TOPIC PARTITIONS EVENTS`.

One agent, one event at a time, values raw, Faust's defaults; only the session is short (the embedded broker holds a
join for half of it) and no web server is opened. Prints {"events": n, "seconds": s} from the first event to the last.
"""

import json
import os
import sys
import tempfile
import time
from typing import Any

import faust


def main(broker: str, topic: str, partitions: int, wanted: int) -> None:
    """Count `wanted` events, say how long it took, and end at once."""
    app = faust.App(
        f"empty-{os.getpid()}",
        broker=f"kafka://{broker}",
        broker_session_timeout=6,
        broker_heartbeat_interval=1.5,
        value_serializer="raw",
        key_serializer="raw",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="empty-agent-"),
        web_enabled=False,
        topic_partitions=partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
    )
    channel = app.topic(topic, value_type=bytes, key_type=bytes)

    @app.agent(channel)  # type: ignore[untyped-decorator]
    async def count(stream: Any) -> None:
        n, began_s = 0, 0.0
        async for _ in stream:
            n += 1
            if n == 1:
                began_s = time.perf_counter()
            if n == wanted:
                print(json.dumps({"events": n, "seconds": time.perf_counter() - began_s}), flush=True)
                os._exit(0)

    faust.Worker(app, loglevel="error", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
