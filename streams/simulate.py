"""The same pipeline over a log, in process: memory store, onnxruntime (or no ranker), time taken from the log.

Nothing here decides anything: records are numbered as Kafka would number them, and `Pipeline` does the rest. With one
partition and a counted refresh the slates equal the live worker's to the bit.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from inference.onnx_encoder import OnnxEncoder
from inference.ranker import Ranker
from streams.contracts import topics
from streams.contracts.events import decode_event
from streams.contracts.items import Item
from streams.contracts.partition import partition_of
from streams.contracts.wire import MAX_AT_MS
from streams.decode import Record
from streams.errors import BadEvent
from streams.features.text import item_text
from streams.online.score import Scorer
from streams.pipeline import Outcome, Pipeline
from streams.settings import Settings
from streams.store.memory import MemoryStore

TOPIC_ID = "offline"


def offline_pipeline(
    settings: Settings,
    ranker: Ranker | None,
    store: MemoryStore | None = None,
    scorer: Callable[[], Scorer | None] = lambda: None,
) -> Pipeline:
    """Return a pipeline whose clock is the log's and whose state is in this process."""
    topic_ids = {settings.topic(name): TOPIC_ID for name in (topics.EVENTS, topics.ITEMS)}
    return Pipeline(
        store or MemoryStore(), ranker, settings, clock=lambda at_ms: at_ms, topic_ids=topic_ids, scorer=scorer
    )


def offline_settings(settings: Settings) -> Settings:
    """Return the settings under which a log is walked alone: one partition, nothing pushed, no clock to be ahead of."""
    return settings.model_copy(
        update={"partitions": 1, "snapshot_every_events": None, "push_on": frozenset(), "max_future_ms": MAX_AT_MS}
    )


def load_items(pipeline: Pipeline, items: Iterable[Item]) -> None:
    """Take a catalogue in, as the `items` topic would bring it, with the semantic codes of the settings' encoder.

    Raises:
        BadModel: the encoder's files can't be read.
    """
    encoder = None
    if pipeline.settings.encoder is not None:
        encoder = _opened(pipeline.settings.encoder, pipeline.settings.encoder_version)
    texts: dict[str, list[int]] = {}
    for item in items:
        index = pipeline.catalogue.upsert(item)
        if encoder is not None and (text := item_text(item)):
            texts.setdefault(text, []).append(index)
    if encoder is not None and texts:
        codes = encoder.codes(list(texts))
        for indices, code in zip(texts.values(), codes, strict=True):
            pipeline.catalogue.semantic[indices] = code


@cache
def _opened(folder: Path, version: int) -> OnnxEncoder:
    return OnnxEncoder(folder, version)


def records(lines: Iterable[bytes], partitions: int) -> Iterator[Record]:
    """Number the events of a log (JSON, one a line, with `at_ms`) as the broker would: by user, in order.

    Raises:
        BadEvent: a line is no event, or has no time.
    """
    offsets = [0] * partitions
    for line in lines:
        event = decode_event(line)
        if event.at_ms is None:
            raise BadEvent("missing: a log has no Kafka timestamps", "$.at_ms")
        key: bytes | None = None
        if (user_id := getattr(event, "user_id", None)) is not None:
            key = user_id.encode()
            partition = partition_of(key, partitions) if partitions > 1 else 0
        else:
            partition = event.partition  # type: ignore[union-attr]
        yield Record(partition, offsets[partition], key, line, event.at_ms)
        offsets[partition] += 1


async def run(
    pipeline: Pipeline,
    log: Iterable[Record],
    *,
    partitions: int,
    batch_events: int,
    ends: Callable[[Record], bool] = lambda record: False,
) -> AsyncIterator[Outcome]:
    """Run a log through, `batch_events` at a time; yield what each came to before the next record is taken.

    A batch also ends behind a record that `ends` one: what it publishes may then come right behind it in the log. The
    snapshot is refreshed before each batch, unless the settings count events for that.
    """
    await pipeline.start()
    await pipeline.assign(range(partitions))
    batch: dict[int, list[Record]] = {}
    waiting = 0
    for record in log:
        batch.setdefault(record.partition, []).append(record)
        waiting += 1
        if waiting >= batch_events or ends(record):
            async for outcome in _run_all(pipeline, batch):
                yield outcome
            batch, waiting = {}, 0
    if batch:
        async for outcome in _run_all(pipeline, batch):
            yield outcome


async def _run_all(pipeline: Pipeline, batch: dict[int, list[Record]]) -> AsyncIterator[Outcome]:
    if pipeline.settings.snapshot_every_events is None:
        await pipeline.refresh()
    left: object = batch
    while left:
        outcome = await pipeline.run(left)  # type: ignore[arg-type]
        yield outcome
        left = outcome.rest
