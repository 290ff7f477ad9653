"""Model folders as Triton reads them: how one is put in place, loaded and awaited.

A repository is a folder of model folders: `ranker/config.pbtxt`, `ranker/<version>/model.onnx`. Nothing
appears in it half-written: a folder is copied under a temporary name on the same file system and renamed.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from tritonclient.utils import InferenceServerException

from inference.triton_ranker import TritonAddress
from streams.errors import BadModel

# Between two questions whether a model is ready.
_POLL_S = 0.02


def versions(folder: Path) -> list[int]:
    """Return the versions in a model's folder, ascending."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal() and path.is_dir())


def install(source: Path, repository: Path, name: str | None = None) -> Path:
    """Copy folder `source` into `repository` (a repository, or a model's folder) and return where it lies.

    Takes the place of what had the name. Triton must not be loading that folder at the time.
    """
    target = repository / (name or source.name)
    temporary = repository / f".{target.name}.new"
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    return target


def load(address: TritonAddress, model: str, timeout_s: float = 60.0) -> None:
    """Make Triton read the model's folder anew; raise `BadModel` with Triton's reason if it refuses."""
    client = address.sync_client()
    try:
        client.load_model(model, client_timeout=timeout_s)
    except InferenceServerException as exc:
        raise BadModel(f"{model}: Triton refused to load it: {exc.message()}") from exc
    finally:
        client.close()


def await_ready(address: TritonAddress, model: str, version: int, timeout_s: float = 60.0) -> None:
    """Return when Triton serves the version; raise `BadModel` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    client = address.sync_client()
    try:
        while not _is_ready(client, model, version):
            if time.monotonic() > deadline:
                raise BadModel(f"{model}/{version}: not ready in Triton after {timeout_s:g} s")
            time.sleep(_POLL_S)
    finally:
        client.close()


def _is_ready(client: Any, model: str, version: int) -> bool:
    try:
        return bool(client.is_model_ready(model, str(version), client_timeout=2.0))
    except InferenceServerException:
        return False
