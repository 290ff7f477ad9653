"""The manifest beside each version: what it learned from, with what, how good it is, and how to recognise it.

It names no machine and no time, so the same training gives the same manifest.
"""

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inference.onnx_ranker import OnnxRanker
from inference.probe import golden_inputs
from inference.tensors import FEATURES, HEADS
from training.recipe import Recipe

MANIFEST_FILE = "manifest.json"
_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")
_DIGITS = 6


def write_manifest(
    folder: Path, model_version: int, data: Mapping[str, Any], recipe: Recipe, evaluation: Mapping[str, Any]
) -> dict[str, Any]:
    """Write `manifest.json` beside the model of that version, and return it; `data` is what it learned from."""
    place = folder / str(model_version)
    manifest = {
        "model": f"{folder.name}/{model_version}",
        "data": dict(data),
        "recipe": asdict(recipe),
        "heads": list(HEADS),
        "features": list(FEATURES),
        "git_revision": _revision(),
        "versions": {package: version(package) for package in _PACKAGES},
        "evaluation": dict(evaluation),
        "golden": golden(folder, model_version),
        "sha256": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(place.iterdir())
            if path.name != MANIFEST_FILE and not path.name.startswith(".")
        },
    }
    staged = place / f".{MANIFEST_FILE}.new"
    staged.write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")
    staged.rename(place / MANIFEST_FILE)
    return manifest


def read_manifest(place: Path) -> dict[str, Any]:
    """Return the manifest that `write_manifest` has written into a version's folder."""
    found: dict[str, Any] = json.loads((place / MANIFEST_FILE).read_text("utf-8"))
    return found


def golden(folder: Path, model_version: int) -> list[list[float]]:
    """Return what the file answers to each batch of golden inputs: the mean p of each head."""
    ranker = OnnxRanker(folder, model_version)
    return [
        [round(float(mean), _DIGITS) for mean in ranker.score(inputs).mean(axis=(0, 1), dtype="float64")]
        for inputs in golden_inputs()
    ]


def _revision() -> str | None:
    """Return the revision of the code, with a plus if it was changed since; None outside a repository."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return told.stdout.strip()
