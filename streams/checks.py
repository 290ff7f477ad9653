"""Is every server there, and is it what the settings say? Used by the worker before it starts, and by the doctor."""

import asyncio
from pathlib import Path

from tritonclient.utils import InferenceServerException

from inference.triton_encoder import TritonEncoder
from inference.triton_ranker import TritonAddress
from streams.errors import StoreMismatch, StreamrankError, Unreachable
from streams.features.user import FOLD_VERSION
from streams.rollout.pointer import Pointer
from streams.settings import Settings
from streams.store.connection import connect

TRITON_S = 5.0


class BackfillUnfinished(StreamrankError):
    """A backfill of this namespace was interrupted: run it again, or use another key prefix."""


class ModelNotReady(StreamrankError):
    """Triton answers but does not serve the champion: see `streamrank models list`, or correct triton_version."""


def triton_address(settings: Settings) -> TritonAddress:
    """Return where Triton answers."""
    files = (settings.triton_ca_file, settings.triton_key_file, settings.triton_cert_file)
    return TritonAddress(settings.triton_address, settings.triton_ssl, *(str(f) if f else None for f in files))


async def champion(settings: Settings) -> int:
    """Return the version that serves: the pointer's, or before there is one the settings'."""
    redis = connect(settings)
    try:
        lineup = await Pointer(redis, settings.key_prefix, settings.triton_model).read()
    finally:
        await redis.close()
    return settings.triton_version if lineup is None else lineup.champion


async def check_triton(settings: Settings, version: int) -> str:
    """Return the model version, if it is ready.

    Raises:
        Unreachable: naming the address.
        ModelNotReady: naming the model and version.
    """
    client = triton_address(settings).client()
    model = settings.triton_model
    try:
        async with asyncio.timeout(TRITON_S):
            ready = await client.is_model_ready(model, str(version))
    except (InferenceServerException, TimeoutError) as exc:
        raise Unreachable(
            f"Triton at {settings.triton_address} does not answer: start it, or correct triton_address"
        ) from exc
    finally:
        await client.close()
    if not ready:
        raise ModelNotReady(f"Triton at {settings.triton_address} does not serve {model}/{version}")
    return f"{model}/{version}"


async def check_encoder(settings: Settings, folder: Path) -> str:
    """Return the encoder's version that encodes, by the vocabulary in `folder`.

    Raises:
        BadModel: the folder holds none.
        EncoderUnavailable: Triton doesn't answer, or doesn't serve it.
    """
    encoder = TritonEncoder(triton_address(settings), folder, settings.encoder_version)
    try:
        await encoder.encode(["streamrank"], TRITON_S)
    finally:
        await encoder.close()
    return encoder.model


async def check_redis(settings: Settings) -> str:
    """Return what the namespace is; nothing is written.

    Raises:
        Unreachable: naming the address.
        StreamrankError: the server may evict keys.
        StoreMismatch: the namespace belongs to another partition count or fold version.
        BackfillUnfinished: it isn't whole yet.
    """
    redis = connect(settings)
    try:
        await redis.check_eviction_policy()
        names = ("partitions", "fold_version", "backfill")
        (found,) = await redis.ask([("HMGET", settings.key_prefix + "meta", *names)])
    finally:
        await redis.close()
    if found[0] is None:
        return "an empty namespace"
    held = tuple(int(value) for value in found[:2])
    if held != (settings.partitions, FOLD_VERSION):
        raise StoreMismatch(
            f"Redis at {redis.address}, key prefix {settings.key_prefix!r}, holds {held[0]} partitions of fold "
            f"version {held[1]}, not {settings.partitions} of version {FOLD_VERSION}"
        )
    if found[2] is not None:
        raise BackfillUnfinished(
            f"Redis at {redis.address}, key prefix {settings.key_prefix!r}, holds an unfinished backfill of "
            f"{found[2].decode()}: run `streamrank backfill` on that log again, or use another key_prefix"
        )
    return f"a namespace of {held[0]} partitions, fold version {held[1]}"
