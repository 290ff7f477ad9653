"""What is refused is refused with its reason, by the real Triton, and the champion serves throughout."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from inference.manifest import MANIFEST_FILE, MODEL_FILE
from inference.repository import is_ready, versions
from inference.tensors import FEATURES
from streams.errors import BadModel, Misuse
from streams.rollout import desk as desks
from tests.integration.desks import Office, Traffic, office
from tests.integration.processes import Reader
from tests.support import damaged, tiny_ranker, wait_until, write_manifest, write_version

__all__ = ["office"]


def other_tensors(place: Path) -> None:
    model = tiny_ranker(2)
    model.graph.output[0].name = model.graph.node[-1].output[0] = "score"
    resaved(place, model)


def resaved(place: Path, model: onnx.ModelProto) -> None:
    """Replace the model, with a manifest of the new file that claims the old answers."""
    golden = json.loads((place / MANIFEST_FILE).read_text())["golden"]
    onnx.save(model, place / MODEL_FILE)
    write_manifest(place, golden)


def cut(place: Path) -> None:
    whole = (place / MODEL_FILE).read_bytes()
    (place / MODEL_FILE).write_bytes(whole[: len(whole) // 2])


def cut_with_a_fitting_hash(place: Path) -> None:
    cut(place)
    write_manifest(place, json.loads((place / MANIFEST_FILE).read_text())["golden"])


def slow(place: Path) -> None:
    """A version that says the same, after some billion multiplications: tens of times what a busy champion takes."""
    model, wide = tiny_ranker(2), 2_000
    weights = np.random.default_rng(1).normal(scale=0.01, size=(wide, wide)).astype(np.float32)
    chain = ["features", "slow_1", "slow_2", "slow_3", "slow_4"]
    steps = [
        helper.make_node("MatMul", [before, "widen" if before == "features" else "wide"], [after])
        for before, after in itertools.pairwise(chain)
    ]
    mean = helper.make_node("ReduceMean", [chain[-1]], ["slowly"], axes=[2], keepdims=1)
    nothing = helper.make_node("Mul", ["slowly", "zero"], ["none"])
    added = helper.make_node("Add", ["biased", "none"], ["late"])
    sigmoid = model.graph.node.pop()
    sigmoid.input[0] = "late"
    model.graph.node.extend([*steps, mean, nothing, added, sigmoid])
    constants = {"widen": weights[: len(FEATURES)], "wide": weights, "zero": np.array(0, np.float32)}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    resaved(place, model)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (cut, "sha256 is not the manifest's"),
    "truncated, its hash too": (cut_with_a_fitting_hash, "onnxruntime cannot open it"),
    "no manifest": (lambda place: (place / MANIFEST_FILE).unlink(), r"has no manifest\.json"),
    "other tensors": (other_tensors, "score is not in the tensor contract"),
    "not a number": (lambda place: resaved(place, damaged(lambda a: a * np.float32(np.nan))), "not finite"),
    "constant": (lambda place: resaved(place, damaged(lambda a: a * 0)), "no varied probabilities"),
    "other answers": (lambda place: resaved(place, tiny_ranker(3)), "differs from the manifest's golden answers"),
    "too slow": (slow, "ms a request, the limit is"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_version_is_refused_with_the_reason_and_the_champion_serves_throughout(
    kind: str, office: Office, tmp_path: Path
) -> None:
    spoil, sentence = BAD[kind]
    place = write_version(tmp_path, 2, seed=2)
    spoil(place)
    with Traffic(office.address, 1) as traffic:
        with pytest.raises(BadModel, match=sentence):
            office.publish(place)
        wait_until(lambda: traffic.answers > 20, what="answers of the champion")
    assert traffic.failures == []
    lineup = office.lineup()
    assert (lineup.champion, lineup.loaded) == (1, {1})
    assert lineup.versions[2].state == "rejected"
    assert (office.served(), versions(office.folder.shelf)) == ([1], [])
    told = Reader(office.settings, "models").until(lambda values: len(values) == 2, 20, "two events")
    assert [event["to"] for event in told] == ["published", "rejected"]
    assert lineup.versions[2].why == told[1]["why"]
    with pytest.raises(Misuse, match="only a validated version"):
        office.promote(2)


def test_a_version_that_triton_itself_refuses_is_rejected_and_the_champion_serves_throughout(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = write_version(tmp_path, 2, seed=2)
    cut_with_a_fitting_hash(place)
    monkeypatch.setattr(desks, "verify", lambda *_: (type("Manifest", (), {"metrics": {}}), "hash"))
    with Traffic(office.address, 1) as traffic, pytest.raises(BadModel, match="Triton refused to load it"):
        office.publish(place)
    assert traffic.failures == []
    assert office.served() == [1]
    assert is_ready(office.address, "ranker", 1)
    assert office.lineup().versions[2].state == "rejected"
