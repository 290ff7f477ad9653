"""Triton: the packaged server itself, with our backend beside its Python backend, on a copy of the models.

The server and its stubs are given relative paths: the server starts a stub through a shell without quoting,
and a run folder may have spaces in its name. `repository` is what is served; the sources are never written
to. What an earlier run published there stays; a version that came with the package follows the package.
"""

import filecmp
import hashlib
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from tritonclient.utils import InferenceServerException

from inference.probe import probe, probe_encoder
from inference.repository import install, is_ready, versions
from inference.tensors import CPU_BACKEND
from inference.triton_ranker import TritonAddress
from streams.embedded.guard import remove_shared_memory
from streams.embedded.process import Command, Guard
from streams.embedded.server import LOOPBACK, Server, executable, package_folder
from streams.errors import BadModel, MissingServer
from streams.settings import SHIPPED_MODELS

_STUB = "triton_python_backend_stub"
_WHEEL = "nvidia-pytriton"
# Shared memory of one version's process, at first and to grow by. Smaller grows more often, larger idles.
_SHARED_BYTES = 1 << 20


class Triton(Server):
    """A Triton server on loopback (gRPC only), that serves every model in `repository`."""

    name: ClassVar[str] = "triton"
    loses: ClassVar[str] = "nothing: it loads the same models again"

    def __init__(self, run_dir: Path, guard: Guard, models: Path = SHIPPED_MODELS) -> None:
        super().__init__(run_dir, guard)
        self.repository = self.folder / "models"
        self._models = models
        self._prefix = f"streamrank-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}-"
        guard.add_shared_memory(self._prefix)

    def command(self) -> Command:
        """Put backends and models in place, and run the server on them."""
        home = package_folder("pytriton", "Triton", _WHEEL) / "tritonserver"
        remove_shared_memory(self._prefix)
        self._assemble(home)
        names = self._place_models()
        options = [
            "--backend-directory=backends",
            "--model-repository=models",
            "--model-control-mode=explicit",
            *(f"--load-model={name}" for name in names),
            "--model-load-thread-count=1",  # a load starts a process a version, and would take every core
            "--strict-readiness=true",
            "--disable-auto-complete-config",
            "--allow-http=false",
            "--allow-metrics=false",
            f"--grpc-address={LOOPBACK}",
            f"--grpc-port={self.port}",
            "--exit-timeout-secs=5",
            f"--backend-config=python,shm-region-prefix-name={self._prefix}",
            f"--backend-config=python,shm-default-byte-size={_SHARED_BYTES}",
            f"--backend-config=python,shm-growth-byte-size={_SHARED_BYTES}",
        ]
        program = executable(home / "bin" / "tritonserver", "Triton", self.folder)
        return Command((program, *options), self.folder, _environment(home))

    def answers(self, timeout_s: float) -> bool:
        """Ask whether the server lives; it does from when its models are loaded.

        It isn't asked whether it is ready: with strict readiness it says no while any version is loaded or unloaded.
        """
        client = TritonAddress(self.address).sync_client()
        try:
            return bool(client.is_server_live(client_timeout=timeout_s))
        except InferenceServerException:
            return False
        finally:
            client.close()

    def verify(self) -> None:
        """Compare each version of ranker and encoder with onnxruntime on golden inputs before anyone is served.

        What an operator puts beside them just now isn't loaded, and is tried by whoever loads it.
        """
        address, folder = TritonAddress(self.address), self.repository / "ranker"
        loaded = [version for version in versions(folder) if is_ready(address, "ranker", version)]
        if not loaded:
            raise BadModel(f"ranker: Triton serves no version of {folder}")
        for version in loaded:
            probe(address, "ranker", version, folder)
        encoder = self.repository / "encoder"
        for version in versions(encoder) if encoder.exists() else ():
            probe_encoder(address, version, encoder)

    def _assemble(self, home: Path) -> None:
        minor = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = home / "python_backend_stubs" / minor / _STUB
        if not stub.is_file():
            known = ", ".join(sorted(path.name for path in stub.parents[1].glob("*"))) or "none"
            raise MissingServer(f"Triton's wheel {_WHEEL} has no stub for Python {minor}: use one of {known}")
        backends = self.folder / "backends"
        shutil.rmtree(backends, ignore_errors=True)
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(home / "backends" / "python", backends / "python", ignore=ignore)
        shutil.copytree(SHIPPED_MODELS / "backends" / CPU_BACKEND, backends / CPU_BACKEND, ignore=ignore)
        shutil.copy2(stub, backends / "python")
        (backends / "python" / _STUB).chmod(0o755)

    def _place_models(self) -> list[str]:
        self.repository.mkdir(exist_ok=True)
        for source in sorted(path.parent for path in self._models.glob("*/config.pbtxt")):
            self._place(source, self.repository / source.name)
        names = sorted(path.parent.name for path in self.repository.glob("*/config.pbtxt"))
        for name in names:
            if not versions(self.repository / name):
                raise BadModel(f"{name}: no version in {self.repository / name}; train one and publish it")
        return names

    def _place(self, source: Path, target: Path) -> None:
        if not _same(source, target, ("config.pbtxt",)):
            install(source, self.repository)
            return
        for version in set(versions(source)) & set(versions(target)):
            ours, theirs = source / str(version), target / str(version)
            if not _same(ours, theirs, [path.name for path in ours.iterdir() if path.is_file()]):
                install(ours, target)


def _same(source: Path, target: Path, names: Iterable[str]) -> bool:
    _, different, missing = filecmp.cmpfiles(source, target, names, shallow=False)
    return not different and not missing


def _environment(home: Path) -> dict[str, str]:
    libraries = (
        home.parents[1] / "nvidia_pytriton.libs",
        sysconfig.get_config_var("LIBDIR"),
        os.environ.get("LD_LIBRARY_PATH"),
    )
    # The stub takes its packages from the environment whose `bin` comes first.
    path = (str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return {
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in libraries if folder),
        "PATH": os.pathsep.join(path),
        # glibc keeps what a load freed, in an arena a thread: few of them, and given back, memory stays where it was.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_TRIM_THRESHOLD_": "131072",
        # Threads that no version uses: numpy starts one a core, which spin while they wait.
        "OPENBLAS_NUM_THREADS": "1",
    }
