"""Puts the models that come with Streamrank into Triton's repository: `place_models.py cpu|gpu /models`.

The ONNX files are the same for both targets; `config.pbtxt` is generated. Versions that are there already stay as
they are, so running it again never changes what is served.
"""

import sys
from pathlib import Path
from typing import get_args

from inference.repository import SHELF, install, versions
from inference.tensors import Target, config_pbtxt
from streams.settings import SHIPPED_MODELS


def place(target: Target, repository: Path, models: Path = SHIPPED_MODELS) -> list[str]:
    """Place every model of `models`; return `model/version` of each version that is new."""
    placed = []
    for source in sorted(path.parent for path in models.glob("*/config.pbtxt")):
        folder = repository / source.name
        folder.mkdir(parents=True, exist_ok=True)
        shelf = repository / SHELF / source.name  # where `streamrank models` puts what doesn't serve any more
        there = {*versions(folder), *(versions(shelf) if shelf.is_dir() else ())}
        for version in sorted(set(versions(source)) - there):
            install(source / str(version), folder)
            placed.append(f"{source.name}/{version}")
        temporary = folder / ".config.pbtxt.new"
        temporary.write_text(config_pbtxt(source.name, target), "utf-8")
        temporary.rename(folder / "config.pbtxt")
    return placed


def main(arguments: list[str]) -> int:
    """Run the command line; return its exit code."""
    targets = get_args(Target)
    if len(arguments) != 2 or arguments[0] not in targets:
        sys.stderr.write(f"place_models.py: say {' or '.join(targets)}, and the folder of the repository\n")
        return 2
    placed = place("gpu" if arguments[0] == "gpu" else "cpu", Path(arguments[1]))
    sys.stdout.write(f"placed: {', '.join(placed) or 'nothing new'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
