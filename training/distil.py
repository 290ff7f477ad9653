"""Has a teacher judge the lists that a student learns from, which then listens to it as much as to the labels.

    L = alpha L_teacher + (1 - alpha) L_labels          `losses.py`; alpha and temperature are the recipe's

The teacher may take its time and know what no served ranker could; the student stays as small and as fast as it is.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.tensors import HEADS
from streams.errors import BadModel
from training.dataset import Dataset
from training.lists import Lists
from training.splits import TRAIN, VALIDATION
from training.teacher import Teacher


def taught(
    dataset: Dataset, teacher: Teacher, out: Path, progress: Callable[[str], None] = lambda line: None
) -> Dataset:
    """Return the data set with a teacher's logits beside its training lists, written in place of what is in `out`.

    Raises:
        BadModel: the teacher said something that is no log-odds, or not of every candidate.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for split in (TRAIN, VALIDATION):
        for path in dataset.paths(split):
            lists = Lists.load(path)
            if split == TRAIN:
                lists = replace(lists, teacher=_judged(teacher, lists))
            lists.save(out / path.name)
            progress(f"{teacher.name} judged {len(lists):,} lists of {path.name}")
    return replace(dataset, folder=out)


def _judged(teacher: Teacher, lists: Lists) -> NDArray[np.float32]:
    logits = teacher.logits(lists).astype(np.float32)
    if logits.shape != (len(lists.item_ids), len(HEADS)) or not np.isfinite(logits).all():
        raise BadModel(f"the teacher {teacher.name} answers {list(logits.shape)}, or what isn't finite: it can't teach")
    return logits
