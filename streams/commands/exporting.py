"""`streamrank export`: model folders, as Triton reads them, of models that were trained."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from inference.tensors import Target
from streams.commands.options import json_option, with_settings, write_json
from streams.errors import MissingServer
from streams.evaluation.log import Log
from streams.features.text import item_text
from streams.settings import Settings

if TYPE_CHECKING:
    from training.export_report import Report

_TARGET = click.option(
    "--target", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True, help="Where Triton runs it."
)
_VERSION = click.option(
    "--version", type=click.IntRange(min=1), default=1, show_default=True, help="Which version to write."
)
_INT8 = click.option("--int8", is_flag=True, help="Weights in eight bits: a quarter of the size.")


def _out(model: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--out", type=click.Path(path_type=Path), default=Path("runs/models") / model, show_default=True
    )


@click.group(short_help="Make model folders of trained models.")
def export() -> None:
    """Write a model folder, config.pbtxt included, that Triton serves; each file is compared with torch first."""


@export.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, dir_okay=False))
@_out("ranker")
@_VERSION
@_TARGET
@_INT8
@click.option("--lists", type=click.Path(path_type=Path), help="Lists of a training: what is lost in NDCG is measured.")
@click.option("--narrow", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Keep this share of the units.")
@json_option
def student(
    checkpoint: Path,
    out: Path,
    version: int,
    target: Target,
    int8: bool,
    lists: Path | None,
    narrow: float,
    json_file: Path | None,
) -> None:
    """Export the ranker of CHECKPOINT, the student.pt of a training."""
    try:
        from training.export_report import export_student
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    report = export_student(checkpoint, out, version, target=target, int8=int8, lists=lists, narrow=narrow)
    _show(report)
    write_json(json_file, report.as_json())


@export.command()
@click.argument("log", type=click.Path(path_type=Path))
@with_settings
@click.option(
    "--model", type=click.Path(path_type=Path), help="A folder of a language model; default all-MiniLM-L6-v2."
)
@_out("encoder")
@_VERSION
@_TARGET
@_INT8
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of the semantic codes.")
@json_option
def encoder(
    settings: Settings,
    log: Path,
    model: Path | None,
    out: Path,
    version: int,
    target: Target,
    int8: bool,
    seed: int,
    json_file: Path | None,
) -> None:
    """Export an encoder of texts; its semantic codes are learned from the catalogue of LOG, a folder of `import`."""
    del settings  # for --config and --log-format
    try:
        from training.encoder import load_encoder
        from training.export_encoder import export_encoder
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    texts = [item_text(item) for item in Log(log).items()]
    path = export_encoder(load_encoder(model), texts, out, version, target=target, int8=int8, seed=seed)
    _written(path, f"; set encoder = {str(out)!r} to use it", json_file)


@export.command()
@click.argument("checkpoint", type=click.Path(path_type=Path, file_okay=False))
@_out("teacher")
@_VERSION
@_INT8
@json_option
def teacher(checkpoint: Path, out: Path, version: int, int8: bool, json_file: Path | None) -> None:
    """Export the cross-encoder of CHECKPOINT, a folder that CrossEncoder.save wrote, as an ONNX file."""
    try:
        from training.cross_encoder import load_cross_encoder
        from training.export_teacher import export_teacher
    except ModuleNotFoundError as exc:
        raise _missing(exc) from exc
    _written(export_teacher(load_cross_encoder(checkpoint), out, version, int8=int8), "", json_file)


def _show(report: "Report") -> None:
    console = Console()
    for line in report.lines():
        console.print(line, soft_wrap=True, highlight=False)


def _written(path: Path, then: str, json_file: Path | None) -> None:
    size = (path / "model.onnx").stat().st_size
    Console().print(f"{path}: {size / 1e6:,.1f} MB{then}", soft_wrap=True)
    write_json(json_file, {"path": str(path), "bytes": size})


def _missing(exc: ModuleNotFoundError) -> MissingServer:
    return MissingServer(f"streamrank export needs the package {exc.name}: pip install 'streamrank[train]'")
