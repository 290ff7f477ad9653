"""Complete Journey as a closed loop in process: slates before real baskets, clicks of a model of a shopper, the join.

The worker's pipeline over the log: a request before each basket after the cut, what `streams.demo.shopper` does with
its slate, then the basket's purchases. The learner that the caller feeds has its say in the next slates, by a snapshot
every SNAPSHOT_EVERY records. Deterministic, and without any server.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from inference.onnx_ranker import OnnxRanker
from streams.contracts import events as ev
from streams.contracts import topics
from streams.contracts.items import decode_item
from streams.contracts.slates import Feedback, Slate, decode_feedback
from streams.decode import Record
from streams.demo.data import imported
from streams.demo.journey import Basket, baskets, history
from streams.demo.shopper import Shopper
from streams.event_log import ITEMS, find_file, read_lines
from streams.online.learner import Learner
from streams.online.score import Scorer
from streams.pipeline import Outcome
from streams.settings import SHIPPED_MODELS, Settings
from streams.simulate import load_items, offline_pipeline, offline_settings, records, run

HOUSEHOLDS, WEEKS, SEED, K = 1_000, 8, 1, 10
SNAPSHOT_EVERY = 100
"""Records; a learner beside a live worker publishes one every second."""
_BATCH = 500
_REFRESH_EVERY = 1_000
"""Events between two looks at what others did."""
_encode = msgspec.json.Encoder().encode
_decode_slate = msgspec.json.Decoder(Slate).decode


class ClosedLoop:
    """Iterate over it once: what the join makes of each slate, in order; `learner` must be fed by who iterates."""

    def __init__(self, folder: Path, learner: Learner) -> None:
        """The data is imported into `folder`."""
        imported(folder, HOUSEHOLDS, SEED, lambda lines: None)
        self._folder = folder
        self._learner = learner
        self._scorer: Scorer | None = None
        self._shopper = Shopper(SEED)
        self._slate: Slate | None = None
        """The answer to the last request."""

    def __iter__(self) -> Iterator[Feedback]:
        """Yield the records; raises `BadModel` if the ranker that comes with Streamrank can't be read."""
        settings = offline_settings(Settings()).model_copy(update={"snapshot_every_events": _REFRESH_EVERY})
        ranker = OnnxRanker(SHIPPED_MODELS / settings.triton_model, settings.triton_version)
        pipeline = offline_pipeline(settings, ranker, scorer=lambda: self._scorer)
        load_items(pipeline, (decode_item(raw) for _, raw in read_lines(find_file(self._folder, ITEMS))))
        log = records(self._lines(), partitions=1)
        outcomes = run(pipeline, log, partitions=1, batch_events=_BATCH, ends=_asks)
        made = 0
        with asyncio.Runner() as runner:
            while (outcome := runner.run(_next(outcomes))) is not None:
                for record in self._published(outcome):
                    yield record
                    made += 1
                    if made % SNAPSHOT_EVERY == 0:
                        self._scorer = Scorer(self._learner.snapshot())

    def _lines(self) -> Iterator[bytes]:
        for _, raw, _ in history(self._folder):
            yield raw
        for basket in baskets(self._folder, WEEKS):
            yield _encode(_request(basket))
            if self._slate is not None:
                yield from map(_encode, self._shopper.look(self._slate, basket))
            yield from basket.raw

    def _published(self, outcome: Outcome) -> Iterator[Feedback]:
        for message in (one for messages in outcome.outbox.values() for one in messages):
            if message.topic == topics.RECOMMENDATIONS:
                self._slate = _decode_slate(message.value)
            elif message.topic == topics.FEEDBACK:
                record = decode_feedback(message.value)
                if isinstance(record, Feedback):
                    yield record


def _request(basket: Basket) -> ev.Request:
    return ev.Request(
        user_id=basket.user_id,
        request_id=f"loop-{basket.name}",
        event_id=f"loop-{basket.name}",
        at_ms=basket.at_ms,
        k=K,
    )


def _asks(record: Record) -> bool:
    return b'"type":"request"' in record.value


async def _next(outcomes: AsyncIterator[Outcome]) -> Outcome | None:
    return await anext(outcomes, None)
