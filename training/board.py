"""Losses and judgements of every epoch as TensorBoard reads them: `tensorboard --logdir DIR`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import MissingServer
from training.phases import Scalars


@contextmanager
def scalars_to(folder: Path | None) -> Iterator[Scalars]:
    """Give what writes scalars to a folder while the block runs; to None it writes nothing.

    Raises:
        MissingServer: TensorBoard isn't installed.
    """
    if folder is None:
        yield lambda name, value, epoch: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as exc:
        raise MissingServer(f"--tensorboard needs the package {exc.name}: pip install 'streamrank[train]'") from exc
    with SummaryWriter(str(folder)) as writer:
        yield lambda name, value, epoch: writer.add_scalar(name, value, epoch)
