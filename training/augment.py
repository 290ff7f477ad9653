"""Texts and histories a little other than they are, so that a model learns what they mean and not how they look.

A token is a word here. A synonym of a word is one of the catalogue's own that stands among the same words, by the
cosine of positive pointwise mutual information (Levy and Goldberg, NIPS 2014). All draws come from the generator
that is passed.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WORDS = 2_000
"""Words of a vocabulary, the most frequent ones. More: rarer words have synonyms, for memory that grows squared."""
MIN_TEXTS = 5
"""Texts that a word must be in, for its company to tell anything."""
MIN_LIKENESS = 0.3
"""Least cosine of two synonyms."""
NEAREST = 3
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Shares, from 0 to 1: of words dropped, of words replaced, of texts reordered, of histories cropped."""

    drop: float = 0.1
    synonym: float = 0.1
    reorder: float = 0.2
    crop: float = 0.3


@dataclass(frozen=True, slots=True)
class Synonyms:
    """Up to NEAREST words for a word, in lower case, the nearest first."""

    of_word: Mapping[str, tuple[str, ...]]

    @classmethod
    def among(cls, texts: Iterable[str]) -> "Synonyms":
        """Find them in the texts of a catalogue; the same texts give the same."""
        read = [sorted(set(_WORD.findall(text.lower()))) for text in texts]
        counts = Counter(word for words in read for word in words)
        ranked = sorted(counts, key=lambda word: (-counts[word], word))[:WORDS]
        kept = [word for word in ranked if counts[word] >= MIN_TEXTS]
        likeness = _likeness(read, {word: n for n, word in enumerate(kept)})
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :NEAREST]
        found = {
            word: tuple(kept[j] for j in nearest[i].tolist() if likeness[i, j] >= MIN_LIKENESS)
            for i, word in enumerate(kept)
        }
        return cls({word: others for word, others in found.items() if others})


def augmented(text: str, how: Augmentation, synonyms: Synonyms, generator: np.random.Generator) -> str:
    """Return a text with words replaced and dropped, at least one kept, and its sentences in another order."""
    sentences = text.split(". ")
    if len(sentences) > 1 and generator.random() < how.reorder:
        sentences = [sentences[n] for n in generator.permutation(len(sentences))]
    words = ". ".join(sentences).split(" ")
    words = [_replaced(word, how.synonym, synonyms, generator) for word in words]
    stays = generator.random(len(words)) >= how.drop
    stays[generator.integers(len(words))] = True
    return " ".join(word for word, stay in zip(words, stays, strict=True) if stay)


def cropped(history: Sequence[int], how: Augmentation, generator: np.random.Generator) -> Sequence[int]:
    """Return a history, latest first, or with the share `crop` a run of it that has a length drawn evenly.

    It may begin later than the latest: what comes next is then further away.
    """
    if len(history) < 2 or generator.random() >= how.crop:
        return history
    size = int(generator.integers(1, len(history)))
    start = int(generator.integers(len(history) - size + 1))
    return history[start : start + size]


def _replaced(word: str, share: float, synonyms: Synonyms, generator: np.random.Generator) -> str:
    if generator.random() >= share:
        return word
    bare = _WORD.search(word)
    others = synonyms.of_word.get(bare.group().lower()) if bare else None
    if bare is None or not others:
        return word
    return word[: bare.start()] + others[int(generator.integers(len(others)))] + word[bare.end() :]


def _likeness(read: Sequence[Sequence[str]], numbers: Mapping[str, int]) -> NDArray[np.float32]:
    """Return the cosine of the company that words keep, (W, W), without themselves."""
    size = len(numbers)
    together = np.zeros((size, size), np.float32)
    for words in read:
        known = [numbers[word] for word in words if word in numbers]
        together[np.ix_(known, known)] += 1
    np.fill_diagonal(together, 0)
    each = together.sum(axis=1)
    expected = np.outer(each, each) / max(1.0, float(each.sum()))
    ratio = np.divide(together, expected, out=np.ones_like(together), where=together > 0)
    company = np.log(ratio).clip(min=0)
    company /= np.linalg.norm(company, axis=1, keepdims=True).clip(min=1e-9)
    likeness: NDArray[np.float32] = company @ company.T
    np.fill_diagonal(likeness, -1)
    return likeness
