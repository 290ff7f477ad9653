"""A trained student as a file of its weights: what `streamrank export` makes model files of."""

import io
import pickle
from pathlib import Path

import torch

from streams.errors import BadModel, Misuse
from training.checkpoints import restore
from training.staged import write_whole
from training.student import Student

STUDENT_FILE = "student.pt"


def save_student(student: Student, path: Path) -> None:
    """Write the weights, whole or not at all.

    Raises:
        CannotWrite: the disk is full, or the folder isn't ours to write.
    """
    content = io.BytesIO()
    torch.save(student.state_dict(), content)
    write_whole(path, content.getvalue())


def load_student(path: Path) -> Student:
    """Return the student of a file, in evaluation mode.

    Raises:
        Misuse: there is no such file.
        BadModel: it holds something else, or a student of another shape.
    """
    if not path.is_file():
        raise Misuse(f"{path}: no such file: `streamrank train` leaves {STUDENT_FILE} beside the model that it writes")
    student = Student()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        restore(student, state, f"{path}: holds no student of this version")
    except (OSError, RuntimeError, TypeError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as exc:
        first = str(exc).strip().splitlines()[0]
        raise BadModel(f"{path}: holds no student of this version: {first}") from exc
    return student.eval()
