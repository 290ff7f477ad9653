"""A version on trial in Triton: loaded beside those that serve, warmed up, compared with its file, and timed.

Nobody is sent to it meanwhile: requests name their version. It costs the server a load and some hundred calls.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from tritonclient.utils import InferenceServerException

from inference.probe import golden_inputs, probe
from inference.repository import await_ready, check_alive, load
from inference.triton_ranker import TritonAddress, encode
from streams.errors import BadModel

SLOWER: Final = 3.0
"""How many times as long as the champion a version may take for the usual request."""
SLACK_S: Final = 0.002
"""What is always allowed on top: below it, the network and the scheduler are most of the time."""
WARM_UPS: Final = 5
"""Calls of each golden batch before any is timed: the first ones allocate and, on a GPU, compile."""
TIMED: Final = 30
"""Calls that are timed, of the version and of the champion in turn, so that a busy moment slows both."""
_USUAL: Final = 1
"""Which golden batch is the usual request."""


def serve(address: TritonAddress, model: str, version: int, folder: Path) -> None:
    """Load, await and warm up a version that lies in `folder`, and compare it with its file.

    Raises:
        BadModel: Triton refuses it, or answers something else.
        Unreachable: Triton is away; that says nothing about the version.
    """
    load(address, model)
    try:
        await_ready(address, model, version)
        _warm_up(address, model, version)
        probe(address, model, version, folder)
    except BadModel:
        check_alive(address)
        raise


def time_against(
    address: TritonAddress, model: str, version: int, champion: int | None, limit_s: float
) -> Mapping[str, float]:
    """Return the median times of the usual request, in ms: of the version, and of the champion if there is one.

    Raises:
        BadModel: the version takes longer than `limit_s`, or than SLOWER times the champion and SLACK_S.
    """
    rivals = [version] if champion is None else [version, champion]
    times: dict[int, list[float]] = {rival: [] for rival in rivals}
    inputs = encode(list(golden_inputs())[_USUAL])
    client = address.sync_client()
    try:
        for _ in range(TIMED):
            for rival in rivals:
                began = time.perf_counter()
                _infer(client, model, rival, inputs)
                times[rival].append(time.perf_counter() - began)
    except InferenceServerException as exc:
        check_alive(address)
        raise BadModel(f"{model}/{version}: Triton failed while it was timed: {exc.message()}") from exc
    finally:
        client.close()
    own_s = median(times[version])
    bound_s = limit_s if champion is None else min(limit_s, SLOWER * median(times[champion]) + SLACK_S)
    if own_s > bound_s:
        raise BadModel(f"{model}/{version}: it takes {own_s * 1e3:.1f} ms a request, the limit is {bound_s * 1e3:.1f}")
    names = {version: "p50_ms", champion: "champion_p50_ms"}
    return {names[rival]: round(median(found) * 1e3, 3) for rival, found in times.items()}


def _warm_up(address: TritonAddress, model: str, version: int) -> None:
    client = address.sync_client()
    try:
        for inputs in golden_inputs():
            for _ in range(WARM_UPS):
                _infer(client, model, version, encode(inputs))
    except InferenceServerException as exc:
        raise BadModel(f"{model}/{version}: Triton failed while it was warmed up: {exc.message()}") from exc
    finally:
        client.close()


def _infer(client: Any, model: str, version: int, inputs: list[Any]) -> None:
    client.infer(model, inputs, model_version=str(version), client_timeout=10.0)
