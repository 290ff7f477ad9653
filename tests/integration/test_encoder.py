"""Semantic codes end to end: a real worker, Triton and Valkey, and an encoder exported on the spot."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from inference.encoder import Encoded
from inference.onnx_encoder import OnnxEncoder
from inference.probe import probe_encoder
from inference.triton_encoder import TritonEncoder
from inference.triton_ranker import TritonAddress
from streams.commands.doctor import examine
from streams.contracts.items import decode_item
from streams.embedded.server import free_port
from streams.embedded.stack import Stack
from streams.errors import BadModel, EncoderUnavailable
from streams.features.item import Catalogue
from streams.features.meaning import Meanings
from streams.settings import Settings
from streams.store.redis import RedisStore
from tests.integration.conftest import RunningStack
from tests.integration.processes import own_settings, publish, worker
from tests.support import wait_until, write_tiny_ranker
from tests.training.languages import tiny
from training.encoder import Encoder
from training.export_encoder import export_encoder

TEXTS = [f"{what} {n}" for n in range(60) for what in ("oat milk", "espresso beans", "a pair of shoes")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a tiny ranker and a tiny encoder."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_ranker(folder)
    export_encoder(Encoder(tiny(seed=4)).eval(), TEXTS, folder / "encoder", 1)
    return folder


def items(names: Sequence[str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), json.dumps({"item_id": name, "title": TEXTS[int(name[1:])]}).encode()) for name in names]


def codes_in_redis(settings: Settings, encoder: OnnxEncoder) -> dict[str, np.ndarray | None]:
    """Return the catalogue as it is stored: each item's code, None while it has none."""

    async def read() -> dict[str, np.ndarray | None]:
        store = RedisStore.from_settings(settings)
        found: dict[str, np.ndarray | None] = {}
        try:
            async for changes in store.items():
                for change in changes:
                    item = decode_item(change.value or b"")
                    catalogue, meanings = Catalogue(), Meanings(encoder.identity)
                    catalogue.upsert(item)
                    meanings.take(catalogue, item, change.code)
                    found[item.item_id] = None if meanings.waiting else catalogue.semantic[0]
        finally:
            await store.close()
        return found

    return asyncio.run(read())


def test_triton_encodes_what_onnxruntime_does(served: Path, tmp_path: Path) -> None:
    async def ask(address: str) -> Encoded:
        encoder = TritonEncoder(TritonAddress(address), served / "encoder", 1)
        try:
            return await encoder.encode(TEXTS, 10.0)
        finally:
            await encoder.close()

    reference = OnnxEncoder(served / "encoder", 1).encoded(TEXTS)
    export_encoder(Encoder(tiny(seed=5)).eval(), TEXTS, tmp_path / "encoder", 1)
    with Stack(tmp_path / "own", served) as own:
        encoded = asyncio.run(ask(own.addresses.triton))
        with pytest.raises(BadModel, match="differs"):
            probe_encoder(TritonAddress(own.addresses.triton), 1, tmp_path / "encoder")
    np.testing.assert_allclose(encoded.vectors, reference.vectors, atol=1e-5)
    assert np.array_equal(encoded.codes, reference.codes)
    with pytest.raises(EncoderUnavailable, match="encoder/1"):
        asyncio.run(ask(f"127.0.0.1:{free_port()}"))


def test_items_get_their_codes_and_triton_may_be_away(served: Path, stack: RunningStack, tmp_path: Path) -> None:
    encoder = OnnxEncoder(served / "encoder", 1)
    expected = {f"i{n}": encoder.encoded([TEXTS[n]]).codes[0] for n in range(len(TEXTS))}
    first, second = (sorted(expected)[part::2] for part in (0, 1))
    with Stack(tmp_path / "own", served) as own:
        settings = own_settings(stack, triton_address=own.addresses.triton, encoder=served / "encoder")

        def coded() -> dict[str, np.ndarray]:
            return {name: code for name, code in codes_in_redis(settings, encoder).items() if code is not None}

        with worker(settings, tmp_path) as one:
            one.await_ready()
            publish(settings, "items", items(first))
            wait_until(lambda: len(coded()) == len(first), 30, "codes of the first items")
            assert all(finding.ok for finding in examine(settings))
            os.kill(own.pids["triton"], signal.SIGKILL)
            publish(settings, "items", items(second))
            wait_until(lambda: len(codes_in_redis(settings, encoder)) == len(expected), 30, "upserts without Triton")
            wait_until(lambda: one.logged("items wait for their semantic codes"), 30, "the worker to say so")
            assert sorted(coded()) == first
            assert {finding.name for finding in examine(settings) if not finding.ok} == {"triton", "encoder"}
            assert one.answers("/livez")[0] == 200
            assert own.check()
            wait_until(lambda: len(coded()) == len(expected), 60, "codes of the others")
            assert not one.ended()
    for name, code in coded().items():
        assert np.array_equal(code, expected[name]), name
