"""Augmentation: shares of zero change nothing, draws come from the generator, synonyms are the catalogue's own."""

from dataclasses import replace

import numpy as np
import pytest

from training.augment import Augmentation, Synonyms, augmented, cropped

NOTHING = Augmentation(drop=0, synonym=0, reorder=0, crop=0)
TEXT = "Dark roast coffee. brand Lavazza. Food > Coffee"
# "roast" and "blend" stand among the same words, and never together.
CATALOGUE = [f"{size} {kind} coffee {word}" for size in ("small", "large", "huge") for kind in ("dark", "mild")
             for word in ("roast", "blend")] + [f"garden {tool} {colour}" for tool in ("hose", "rake", "spade")
             for colour in ("green", "brown")]  # fmt: skip


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_with_shares_of_zero_all_stays() -> None:
    synonyms = Synonyms.among(CATALOGUE)
    assert augmented(TEXT, NOTHING, synonyms, drawn()) == TEXT
    assert cropped([3, 2, 1], NOTHING, drawn()) == [3, 2, 1]


def test_words_are_dropped_by_their_share_and_one_always_stays() -> None:
    text = " ".join(f"w{n}" for n in range(1_000))
    left = augmented(text, replace(NOTHING, drop=0.3), Synonyms({}), drawn()).split()
    assert 650 < len(left) < 750
    assert left == [word for word in text.split() if word in set(left)]  # in their order
    assert augmented("one", replace(NOTHING, drop=1.0), Synonyms({}), drawn()) == "one"
    assert augmented("", replace(NOTHING, drop=1.0), Synonyms({}), drawn()) == ""


def test_a_synonym_is_a_word_among_the_same_words_and_never_beside_it() -> None:
    synonyms = Synonyms.among(CATALOGUE)
    assert synonyms.of_word["roast"][0] == "blend"
    assert all("garden" not in others for word, others in synonyms.of_word.items() if word in ("roast", "coffee"))
    assert set(synonyms.of_word) <= {word for text in CATALOGUE for word in text.split()}
    text = augmented("Roast, fine", replace(NOTHING, synonym=1.0), synonyms, drawn())
    assert text.split()[0].rstrip(",") in synonyms.of_word["roast"]
    assert text.endswith(", fine")


def test_sentences_change_places_whole() -> None:
    texts = {augmented(TEXT, replace(NOTHING, reorder=1.0), Synonyms({}), drawn(seed)) for seed in range(40)}
    assert len(texts) == 6
    assert {tuple(sorted(text.split(". "))) for text in texts} == {tuple(sorted(TEXT.split(". ")))}


def test_a_crop_is_a_run_of_the_history() -> None:
    history = list(range(10, 0, -1))
    crops = [tuple(cropped(history, replace(NOTHING, crop=1.0), drawn(seed))) for seed in range(200)]
    assert all(crop and list(crop) == list(range(crop[0], crop[-1] - 1, -1)) for crop in crops)
    assert {len(crop) for crop in crops} == set(range(1, 10))
    assert cropped([7], replace(NOTHING, crop=1.0), drawn()) == [7]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_generator_gives_the_same(seed: int) -> None:
    how, synonyms = Augmentation(0.3, 0.5, 0.5, 0.5), Synonyms.among(CATALOGUE)
    ours = [augmented(TEXT, how, synonyms, drawn(seed)) for _ in range(2)]
    assert ours[0] == ours[1]
    assert Synonyms.among(CATALOGUE) == Synonyms.among(CATALOGUE)
