"""Gives items their semantic codes, off the hot path: texts that wait are encoded in batches, and what comes is stored.

Upserts never wait for this. While the encoder or Redis is away texts go on waiting; a text is computed by one worker
of a deployment, once, for all items that have it.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from itertools import islice

from inference.encoder import TextEncoder
from inference.tensors import MAX_BATCH_SIZE
from streams.agents.process import RETRY_FIRST_S, RETRY_MOST_S
from streams.errors import EncoderUnavailable, Unreachable
from streams.features.item import digest_of
from streams.features.meaning import Meanings, packed_vector
from streams.settings import Settings
from streams.store.base import FeatureStore, Meaning

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
"""How long a batch of texts may take: long, as nobody waits, and a GPU-less Triton has other work."""


class TextReader:
    """Encodes the texts that wait and belong to this worker."""

    def __init__(
        self,
        encoder: TextEncoder,
        meanings: Meanings,
        store: FeatureStore,
        settings: Settings,
        owned: Callable[[], Collection[int]],
    ) -> None:
        """`owned` gives this worker's partitions; a text belongs to one of them by its hash."""
        self._encoder = encoder
        self._meanings = meanings
        self._store = store
        self._partitions = settings.partitions
        self._pause_s = settings.snapshot_every_ms / 1000
        self._owned = owned

    async def run(self) -> None:
        """Encode what waits until cancelled, trying again after a fault."""
        wait_s = RETRY_FIRST_S
        away = False
        while True:
            try:
                done = await self.step()
                wait_s, away = RETRY_FIRST_S, False
                await asyncio.sleep(0 if done else self._pause_s)
            except (EncoderUnavailable, Unreachable) as exc:
                if not away:
                    log.warning("items wait for their semantic codes", extra={"reason": str(exc)})
                away = True
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_MOST_S)

    async def step(self) -> int:
        """Encode and store a batch; return how many texts it had.

        Raises:
            EncoderUnavailable, Unreachable: nothing is stored, and the texts go on waiting.
        """
        owned = self._owned()
        mine = (text for text in self._meanings.waiting if digest_of(text) % self._partitions in owned)
        texts = list(islice(mine, MAX_BATCH_SIZE))
        if not texts:
            return 0
        # Who has a text may change while it is encoded: one that came later waits again when its item is read.
        items = {text: list(self._meanings.waiting[text]) for text in texts}
        encoded = await self._encoder.encode(texts, TIMEOUT_S)
        meanings = {}
        for text, code, vector in zip(texts, encoded.codes, encoded.vectors, strict=True):
            meaning = Meaning(self._meanings.packed(text, code), packed_vector(vector))
            meanings.update(dict.fromkeys(items[text], meaning))
        await self._store.put_meanings(meanings)
        for text in texts:
            self._meanings.done(text, items[text])
        return len(texts)
