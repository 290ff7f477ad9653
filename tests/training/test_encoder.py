"""The encoder: unit vectors that don't depend on the batch, read back the same, sensible with the real weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from streams.errors import BadModel, CannotWrite, Misuse
from tests.training.languages import saved, tiny
from tests.training.limits import small_disk
from training.encoder import Encoder, load_encoder

TEXTS = ["oat milk", "a much longer text about ground coffee, roasted dark, in a bag of one kilogram", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("language") / "tiny")


def test_a_vector_has_length_one_whatever_stands_beside_it() -> None:
    encoder = Encoder(tiny())
    together = encoder(*encoder.tokens(TEXTS)).detach()
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    for row, text in zip(together, TEXTS, strict=True):
        torch.testing.assert_close(encoder(*encoder.tokens([text]))[0].detach(), row, atol=1e-5, rtol=0)


def test_many_texts_come_back_in_their_order_and_alike_if_they_are() -> None:
    encoder = Encoder(tiny()).train()
    vectors = encoder.encode([*TEXTS, *reversed(TEXTS)], batch_texts=2)
    assert np.array_equal(vectors[:3], vectors[:2:-1])
    assert len({tuple(row) for row in vectors.tolist()}) == 3
    assert encoder.training  # as it was
    assert encoder.encode([]).shape == (0, 32)


def test_the_packages_weights_know_what_words_mean() -> None:
    beans, coffee, hose = load_encoder().encode(["espresso beans", "ground coffee, dark roast", "garden hose, 20 m"])
    assert beans @ coffee > 0.4
    assert beans @ hose < 0.2


def test_what_is_saved_is_read_back_the_same(folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(folder)
    encoder.save(tmp_path / "one")
    encoder.save(tmp_path / "one")  # takes the other's place
    assert np.array_equal(load_encoder(tmp_path / "one").encode(TEXTS), encoder.encode(TEXTS))
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_no_folder_is_refused_and_nothing_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="no such folder"):
        load_encoder(Path("sentence-transformers/all-MiniLM-L6-v2"))
    with pytest.raises(BadModel, match="no language model can be read"):
        load_encoder(tmp_path)


def test_another_vocabulary_is_refused(folder: Path) -> None:
    words = folder / "tokenizer.json"
    before = words.read_text("utf-8")
    words.write_text(before.replace('"coffee"', '"coffeebean"'), "utf-8")
    try:
        with pytest.raises(BadModel, match="the vocabulary changed"):
            load_encoder(folder)
    finally:
        words.write_text(before, "utf-8")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    with small_disk(65_536), pytest.raises(CannotWrite, match="cannot be written"):
        Encoder(tiny()).save(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []
