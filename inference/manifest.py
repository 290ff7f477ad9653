"""The manifest beside each version, as it is read before that serves: its files, and how the model is recognised.

The training writes it (`training/manifest.py`). What it says beyond this is for people.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from streams.errors import BadModel

MANIFEST_FILE: Final = "manifest.json"
MODEL_FILE: Final = "model.onnx"
_POLICY: Final = "streamrank"


class _Evaluation(Struct, frozen=True):
    results: dict[str, dict[str, Any]] = {}


class Manifest(Struct, frozen=True):
    """What publishing relies on.

    `sha256` has the hash of every file of the version but the manifest. `golden` has, for each batch of
    `probe.golden_inputs`, the mean p of each head.
    """

    sha256: dict[str, str]
    golden: list[list[float]]
    evaluation: _Evaluation = _Evaluation()

    @property
    def metrics(self) -> dict[str, float]:
        """The quality that the training measured of this ranker, by metric."""
        found = self.evaluation.results.get(_POLICY, {})
        return {name: float(value[0]) for name, value in found.items() if isinstance(value, list) and value}


def read_manifest(place: Path) -> tuple[Manifest, str]:
    """Return the manifest in a version's folder, and the sha256 of its bytes; raise `BadModel` if it is none."""
    path = place / MANIFEST_FILE
    try:
        raw = path.read_bytes()
        return msgspec.json.decode(raw, type=Manifest), hashlib.sha256(raw).hexdigest()
    except FileNotFoundError as exc:
        raise BadModel(f"{place.name}: it has no {MANIFEST_FILE}") from exc
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise BadModel(f"{place.name}/{MANIFEST_FILE}: {exc}") from exc


def check_files(place: Path, manifest: Manifest) -> None:
    """Compare the folder's files with the manifest's hashes; raise `BadModel` naming the first that differs."""
    found = {str(path.relative_to(place)): path for path in place.rglob("*") if not path.is_dir()}
    found.pop(MANIFEST_FILE, None)
    if MODEL_FILE not in manifest.sha256:
        raise BadModel(f"{place.name}/{MANIFEST_FILE}: sha256 does not name {MODEL_FILE}")
    for name in sorted(found.keys() ^ manifest.sha256.keys()):
        wrong = "is not in the manifest" if name in found else "is in the manifest, but not in the folder"
        raise BadModel(f"{place.name}/{name}: it {wrong}")
    for name, path in found.items():
        with path.open("rb") as file:
            told = hashlib.file_digest(file, "sha256").hexdigest()
        if told != manifest.sha256[name]:
            raise BadModel(f"{place.name}/{name}: its sha256 is not the manifest's; copy the version again")
