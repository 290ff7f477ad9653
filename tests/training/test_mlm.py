"""Masked words: what is hidden, that guessing is learned, and by the weights that the encoder reads with."""

from pathlib import Path

import numpy as np
import pytest
import torch

from streams.errors import Diverged, Misuse
from tests.training.languages import tiny
from training.encoder import Encoder
from training.language import Language
from training.loop import Course
from training.mlm import SHARE, MaskedLanguage, hidden, pretrain_language

COURSE = Course(seed=2, epochs=3, batch_rows=16, learning_rate=3e-3)
COLOURS = ("red", "green", "blue", "white", "black")
THINGS = ("chair of wood", "table of wood", "shirt of cotton", "sock of cotton")
TEXTS = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]


def test_a_share_of_the_words_is_hidden_and_never_a_mark() -> None:
    language = tiny()
    ids = language.tokens([" ".join(TEXTS)] * 40 + ["short"], length=64)["input_ids"]
    shown, labels = hidden(ids, language, np.random.default_rng(0))
    guessed = labels >= 0
    marks = torch.isin(ids, torch.tensor(language.tokenizer.all_special_ids))
    assert not guessed[marks].any()
    assert torch.equal(labels[guessed], ids[guessed])
    assert torch.equal(shown[~guessed], ids[~guessed])
    assert guessed[-1].sum() == 1  # one word, and it is asked
    assert guessed[:-1].float().mean().item() == pytest.approx(SHARE, abs=0.03)
    masked, stayed = (shown == language.tokenizer.mask_token_id)[guessed], (shown == ids)[guessed]
    assert masked.float().mean().item() == pytest.approx(0.8, abs=0.06)
    assert stayed.float().mean().item() == pytest.approx(0.1, abs=0.05)


def test_guessing_is_learned_by_the_model_itself() -> None:
    language = tiny()
    before = Encoder(language).encode(TEXTS)
    course = Course(seed=2, epochs=20, batch_rows=8, learning_rate=1e-2, patience=20)
    ran = pretrain_language(language, TEXTS * 2, course)
    assert max(ran.history) > -1 > ran.history[0]
    assert not np.array_equal(before, Encoder(language).encode(TEXTS))
    scores = guess(language, "green chair of [MASK]")
    wood, cotton = (language.tokenizer.convert_tokens_to_ids(word) for word in ("wood", "cotton"))
    assert scores[wood] > scores[cotton]


def guess(language: Language, text: str) -> torch.Tensor:
    """Return how near the hidden state at the mask is to each word's embedding."""
    read = language.tokens([text], length=64)
    place = read["input_ids"][0].tolist().index(language.tokenizer.mask_token_id)
    with torch.no_grad():
        h = language.model(**read).last_hidden_state[0, place]
    words = language.model.get_input_embeddings().weight.detach()  # type: ignore[operator,union-attr]
    return torch.nn.functional.normalize(words, dim=1) @ h


def test_held_out_texts_judge() -> None:
    texts = [f"{text} number {n}" for text in TEXTS for n in range(10)]
    ran = pretrain_language(tiny(), texts, COURSE)
    assert len(ran.history) == 3
    assert ran.history[-1] > ran.history[0]


def test_the_same_seed_gives_the_same_weights_and_a_cut_changes_nothing(tmp_path: Path) -> None:
    languages = [tiny(dropout=0.1) for _ in range(3)]
    pretrain_language(languages[0], TEXTS, COURSE)
    pretrain_language(languages[1], TEXTS, COURSE, folder=tmp_path)
    pretrain_language(languages[2], TEXTS, COURSE, folder=tmp_path)  # from the checkpoint of its end
    states = [language.model.state_dict() for language in languages]
    assert all(torch.equal(states[0][name], state[name]) for state in states[1:] for name in state)


def test_the_head_is_tied_to_the_words() -> None:
    language = tiny()
    head = MaskedLanguage(language)
    assert head.words.weight is language.model.get_input_embeddings().weight  # type: ignore[operator,union-attr]


def test_a_catalogue_without_words_is_refused() -> None:
    with pytest.raises(Misuse, match="no item of the catalogue has a text"):
        pretrain_language(tiny(), ["", " ", "\U0001f600"], COURSE)


def test_weights_that_are_no_numbers_are_one_sentence() -> None:
    language = tiny()
    with torch.no_grad():
        next(language.model.parameters()).fill_(float("nan"))
    with pytest.raises(Diverged, match=r"^step 1 "):
        pretrain_language(language, TEXTS, COURSE)
