"""The encoder's model folder: it says what torch says, each text by itself, in full and in eight bits."""

import json
from pathlib import Path

import numpy as np
import pytest

from inference.onnx_encoder import OnnxEncoder
from inference.tensors import CODE_LEVELS, CODES, MAX_BATCH_SIZE, config_pbtxt
from inference.texts import MAX_TOKENS, PADDED_TO, TOKENIZER_FILE, Tokenizer
from streams.errors import BadModel, Misuse
from tests.training.languages import tiny
from training.encoder import Encoder
from training.export_encoder import export_encoder
from training.quantise import rounded

TEXTS = [f"{what} {n}" for n in range(120) for what in ("oat milk", "espresso beans, dark roast", "a pair of shoes")]
MIXED = [*TEXTS[:40], "oats", "x " * 200, "one more text of some length, of a dozen words or so", "", *TEXTS[:5]]


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(tiny(seed=4)).eval()


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models") / "encoder"
    export_encoder(encoder, TEXTS, made, 1)
    export_encoder(encoder, TEXTS, made, 2, target="gpu", int8=True)
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> OnnxEncoder:
    return OnnxEncoder(folder, 1)


def test_the_folder_is_what_triton_and_workers_read(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["1", "2", "config.pbtxt"]
    assert (folder / "config.pbtxt").read_text() == config_pbtxt("encoder", "gpu")
    for version in ("1", "2"):
        names = sorted(path.name for path in (folder / version).iterdir())
        assert names == ["manifest.json", "model.onnx", "tokenizer.json"]
        assert str(Path.cwd()).encode() not in (folder / version / "model.onnx").read_bytes()
    assert json.loads((folder / "1" / "manifest.json").read_text())["texts"] == len(TEXTS)


def test_it_says_what_torch_says_of_any_text(encoder: Encoder, served: OnnxEncoder) -> None:
    encoded = served.encoded(MIXED)
    np.testing.assert_allclose(encoded.vectors, encoder.encode(MIXED), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(encoded.vectors, axis=1), 1.0, atol=1e-5)
    assert encoded.codes.shape == (len(MIXED), CODE_LEVELS)
    assert (encoded.codes.min() >= 1, encoded.codes.max() <= CODES) == (True, True)


def test_a_text_alone_is_the_text_in_any_batch(served: OnnxEncoder) -> None:
    together = served.encoded(MIXED)
    for place, text in enumerate(MIXED):
        alone = served.encoded([text])
        np.testing.assert_allclose(alone.vectors[0], together.vectors[place], atol=1e-5)


def test_equal_texts_are_encoded_once(served: OnnxEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    encoded = served.encoded
    monkeypatch.setattr(served, "encoded", lambda texts: (asked.extend(texts), encoded(texts))[1])
    codes = served.codes(["once", "twice", "once"])
    assert np.array_equal(codes, served.codes(["once", "twice", "twice", "once"])[[0, 1, 0]])
    assert asked == ["once", "twice"]


def test_in_eight_bits_it_is_what_was_rounded_and_near_the_whole(encoder: Encoder, folder: Path) -> None:
    small = OnnxEncoder(folder, 2).encoded(TEXTS).vectors
    np.testing.assert_allclose(small, rounded(encoder).encode(TEXTS), atol=1e-4)
    assert (small * encoder.encode(TEXTS)).sum(axis=1).min() > 0.99
    sizes = [(folder / version / "model.onnx").stat().st_size for version in ("1", "2")]
    assert sizes[1] < 0.35 * sizes[0]


def test_other_files_are_another_encoder(folder: Path) -> None:
    assert OnnxEncoder(folder, 1).identity == OnnxEncoder(folder, 1).identity
    assert OnnxEncoder(folder, 1).identity != OnnxEncoder(folder, 2).identity


def test_texts_of_a_batch_have_one_length_and_each_text_comes_once(folder: Path) -> None:
    texts = MIXED + TEXTS
    seen: list[int] = []
    for tokens in Tokenizer(folder / "1" / TOKENIZER_FILE).batches(texts):
        seen += tokens.places.tolist()
        rows, length = tokens.input_ids.shape
        assert rows <= MAX_BATCH_SIZE
        assert length % PADDED_TO == 0
        used = tokens.attention_mask.sum(axis=1)
        assert used.max() <= MAX_TOKENS
        assert np.all((used > length - PADDED_TO) & (used <= length))
        assert not tokens.input_ids[tokens.attention_mask == 0].any()
    assert sorted(seen) == list(range(len(texts)))


def test_another_name_or_no_text_is_one_sentence_and_nothing_is_left(encoder: Encoder, tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="`encoder`"):
        export_encoder(encoder, TEXTS, tmp_path / "texts", 1)
    with pytest.raises(Misuse, match="no item has a text"):
        export_encoder(encoder, ["", ""], tmp_path / "encoder", 1)
    assert not list(tmp_path.glob("**/*"))


def test_a_folder_that_holds_no_encoder_is_refused_by_name(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BadModel, match=r"model\.onnx"):
        OnnxEncoder(tmp_path, 1)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "model.onnx").write_bytes((folder / "1" / "model.onnx").read_bytes())
    (tmp_path / "1" / TOKENIZER_FILE).write_text("{}")
    with pytest.raises(BadModel, match="vocabulary"):
        OnnxEncoder(tmp_path, 1)
