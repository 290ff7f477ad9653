from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import pytest

from inference.tensors import FEATURES, RANKER_INPUTS, RANKER_OUTPUTS, Dtype, Target, Tensor, config_pbtxt

SERVED = Path(__file__).parents[3] / "triton_models" / "ranker" / "config.pbtxt"


def test_the_config_that_triton_reads_is_the_contract() -> None:
    wrong = "run: python -m inference.tensors > triton_models/ranker/config.pbtxt"
    assert SERVED.read_text() == config_pbtxt("ranker", "cpu"), wrong


@pytest.mark.parametrize("target", get_args(Target))
def test_both_targets_declare_every_tensor_and_serve_all_versions(target: Target) -> None:
    text = config_pbtxt("ranker", target)
    assert "version_policy { all {} }" in text
    for tensor in (*RANKER_INPUTS, *RANKER_OUTPUTS):
        assert f'"{tensor.name}", data_type: TYPE_{tensor.dtype}, dims: {list(tensor.dims)}' in text


def test_the_gpu_target_runs_the_same_file_with_tensorrt() -> None:
    cpu, gpu = config_pbtxt("ranker", "cpu"), config_pbtxt("ranker", "gpu")
    assert "KIND_CPU" in cpu
    assert "tensorrt" not in cpu
    assert 'backend: "onnxruntime"' in gpu
    assert "tensorrt" in gpu


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
