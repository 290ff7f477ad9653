from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig, ModelInstanceGroup

from inference.tensors import (
    ENCODER,
    FEATURES,
    MAX_BATCH_SIZE,
    RANKER,
    RANKER_INPUTS,
    Dtype,
    Target,
    Tensor,
    config_pbtxt,
)

SERVED = Path(__file__).parents[3] / "triton_models" / "ranker" / "config.pbtxt"


def test_the_config_that_triton_reads_is_the_contract() -> None:
    wrong = "run: python -m inference.tensors > triton_models/ranker/config.pbtxt"
    assert SERVED.read_text() == config_pbtxt("ranker", "cpu"), wrong


def parsed(model: str, target: Target) -> ModelConfig:
    """Return the config as Triton's own schema reads it; an unknown field or a wrong type is refused."""
    return text_format.Parse(config_pbtxt(model, target), ModelConfig())


@pytest.mark.parametrize(("model", "contract"), [("ranker", RANKER), ("encoder", ENCODER), ("other-ranker", RANKER)])
@pytest.mark.parametrize("target", get_args(Target))
def test_triton_reads_of_every_model_what_the_contract_says(
    model: str, contract: tuple[tuple[Tensor, ...], ...], target: Target
) -> None:
    config = parsed(model, target)
    assert (config.name, config.max_batch_size) == (model, MAX_BATCH_SIZE)
    assert config.version_policy.HasField("all")
    for declared, read in zip(contract, (config.input, config.output), strict=True):
        told = [(tensor.name, tensor.triton, list(tensor.dims)) for tensor in declared]
        assert [(one.name, DataType.Name(one.data_type), list(one.dims)) for one in read] == told


def test_the_gpu_target_runs_the_same_file_with_tensorrt() -> None:
    cpu, gpu = parsed("ranker", "cpu"), parsed("ranker", "gpu")
    assert [group.kind for group in cpu.instance_group] == [ModelInstanceGroup.KIND_CPU]
    assert not cpu.optimization.execution_accelerators.gpu_execution_accelerator
    assert gpu.backend == "onnxruntime"
    assert [group.kind for group in gpu.instance_group] == [ModelInstanceGroup.KIND_GPU]
    (accelerator,) = gpu.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_a_dtype_means_the_same_in_numpy_and_onnx(dtype: Dtype) -> None:
    tensor = Tensor("x", dtype, ("B",), "")
    kind = onnx.TensorProto.DataType.Value(tensor.onnx)
    assert onnx.helper.tensor_dtype_to_np_dtype(kind) == tensor.numpy


def test_a_shape_fits_where_letters_are_free_and_numbers_are_not() -> None:
    features = RANKER_INPUTS[0]
    assert features.fits((7, 1, len(FEATURES)))
    assert not features.fits((7, 1, len(FEATURES) + 1))
    assert not features.fits((7, len(FEATURES)))
    assert features.numpy == np.float32


def test_features_have_names_of_their_own() -> None:
    assert len(set(FEATURES)) == len(FEATURES)
