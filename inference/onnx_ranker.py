"""The ranker in this process: the same ONNX file that Triton serves, through onnxruntime on one thread.

The simulator ranks with it, and a server's answers are checked against it before they reach anyone.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.ranker import Ranked, RankerInputs, checked
from inference.tensors import RANKER_OUTPUTS
from streams.errors import BadModel, MissingServer, RankerUnavailable


class OnnxRanker:
    """Ranks with `<folder>/<version>/model.onnx`. Deterministic; blocks its caller for the call."""

    def __init__(self, folder: Path, version: int, threads: int = 1) -> None:
        """Open that version of the model folder; raise `BadModel` if onnxruntime cannot read the file."""
        try:
            import onnxruntime
        except ImportError as exc:
            raise MissingServer("onnxruntime is not installed: pip install 'streamrank[embedded]'") from exc
        path = folder / str(version) / "model.onnx"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors share no base but this one
            raise BadModel(f"{path}: onnxruntime cannot open it: {exc}") from exc
        self.inputs, self.outputs = self._session.get_inputs(), self._session.get_outputs()
        """What the file declares: each with name, type and shape."""
        self._needs = frozenset(tensor.name for tensor in self.inputs)
        self.model = f"{folder.name}/{version}"

    def score(self, inputs: RankerInputs) -> NDArray[np.float32]:
        """Return p (B, K, H), finite; raise `RankerUnavailable` if the file fails, or answers anything else."""
        feeds = {tensor.name: array for tensor, array in inputs.tensors() if tensor.name in self._needs}
        try:
            (p,) = self._session.run([tensor.name for tensor in RANKER_OUTPUTS], feeds)
        except Exception as exc:  # as above
            raise RankerUnavailable(f"{self.model} failed in onnxruntime: {exc}") from exc
        return checked(p, inputs, self.model)

    async def rank(self, inputs: RankerInputs, timeout_s: float) -> Ranked:
        """Score in this thread. The timeout cannot interrupt onnxruntime, so it is not observed."""
        del timeout_s
        return Ranked(self.score(inputs), self.model)
