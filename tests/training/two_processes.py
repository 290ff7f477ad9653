"""Trains in one of several processes, and writes its weights under the process's number."""

import sys
from pathlib import Path

import torch
from accelerate import PartialState

from tests.training.test_loop import Line, trained

if __name__ == "__main__":
    out = Path(sys.argv[1])
    model, _ = trained(Line(), folder=out / "checkpoints")
    state = PartialState()
    assert state.num_processes == 2
    torch.save(model.state_dict(), out / f"{state.process_index}.pt")
    state.destroy_process_group()
