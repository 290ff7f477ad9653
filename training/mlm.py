"""Pre-training on the shop's own words: a language model guesses the words that a mask hides.

    L = -log softmax(E norm(gelu(W h)) + b)_word     at hidden places, E the model's own word embeddings

BERT's recipe (Devlin et al., NAACL 2019): SHARE of the tokens are to be guessed; of these 8 in 10 are masked, one is
another word, one stays. The packaged weights have no head for this; the one made here is tied to the embeddings, and
thrown away at the end.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streams.errors import Misuse
from training.checkpoints import digest
from training.language import Language, vocabulary, weights
from training.loop import Course, Progress, Ran, Rows, run

SHARE = 0.15
HELD_OUT = 0.05
"""Share of the texts that judge, not teach; at most MOST_HELD_OUT."""
MOST_HELD_OUT = 512
LENGTH = 64
_IGNORED = -100


class MaskedLanguage(nn.Module):
    """Maps token ids (B, L) and the N places to guess to scores of all tokens, (N, V)."""

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.model = language.model
        self.words: nn.Embedding = language.model.get_input_embeddings()  # type: ignore[operator]
        self.transform = nn.Sequential(
            nn.Linear(language.width, language.width), nn.GELU(), nn.LayerNorm(language.width)
        )
        self.bias = nn.Parameter(torch.zeros(self.words.num_embeddings))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, places: Tensor) -> Tensor:
        """Return the scores at `places` (B, L), true where to guess."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return functional.linear(self.transform(hidden[places]), self.words.weight, self.bias)


class MaskedWords:
    """Texts, some of their words hidden; the held-out ones are always hidden in the same way."""

    def __init__(self, language: Language, texts: Sequence[str], seed: int) -> None:
        self._language = language
        order = np.random.default_rng(seed).permutation(len(texts))
        held_out = min(MOST_HELD_OUT, int(len(texts) * HELD_OUT))
        self._judges = [texts[n] for n in order[:held_out]]
        self._texts = [texts[n] for n in order[held_out:]]
        self._seed = seed
        self.rows = len(self._texts)

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        """Return the mean over hidden places."""
        return self._guess(model, [self._texts[row] for row in rows], generator)

    def judge(self, model: nn.Module) -> float | None:
        """Return the log-likelihood of a held-out word."""
        if not self._judges:
            return None
        generator, values = np.random.default_rng(self._seed), []
        with torch.inference_mode():
            for start in range(0, len(self._judges), 64):
                some = self._judges[start : start + 64]
                values += [self._guess(model, some, generator).item()] * len(some)
        return -float(np.mean(values))

    def _guess(self, model: nn.Module, texts: list[str], generator: np.random.Generator) -> Tensor:
        device = next(model.parameters()).device
        read = self._language.tokens(texts, length=LENGTH)
        shown, labels = hidden(read["input_ids"], self._language, generator)
        scores = model(shown.to(device), read["attention_mask"].to(device), (labels != _IGNORED).to(device))
        return functional.cross_entropy(scores.float(), labels[labels != _IGNORED].to(device))


def hidden(input_ids: Tensor, language: Language, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return token ids (B, L) with words hidden, and the labels: the word where to guess, -100 elsewhere.

    Marks such as [CLS] and padding are never hidden; a text of at least one word has one hidden.
    """
    ids = input_ids.numpy()
    tokenizer = language.tokenizer
    words = ~np.isin(ids, tokenizer.all_special_ids)
    chance = generator.random(ids.shape) + ~words  # at least 1 where there is no word
    guess = words & ((chance < SHARE) | (chance == chance.min(axis=1, keepdims=True)))
    fate = generator.random(ids.shape)
    others = generator.integers(len(tokenizer), size=ids.shape)
    shown = np.where(guess & (fate < 0.8), tokenizer.mask_token_id, ids)
    shown = np.where(guess & (fate >= 0.9), others, shown)
    return torch.from_numpy(shown), torch.from_numpy(np.where(guess, ids, _IGNORED))


def pretrain_language(
    language: Language,
    texts: Sequence[str],
    course: Course,
    *,
    folder: Path | None = None,
    progress: Progress = lambda line: None,
) -> Ran:
    """Train a language model in place on the different texts of a catalogue, those without a word left out.

    Raises:
        Misuse: there is no text.
        Diverged, BadModel, CannotWrite: as `loop.run`.
    """
    different = _with_words(sorted(set(texts)), language)
    if not different:
        raise Misuse("nothing to learn from: no item of the catalogue has a text")
    torch.manual_seed(course.seed)
    task = MaskedWords(language, different, course.seed)
    made_by = {
        "vocabulary": vocabulary(language.tokenizer),
        "weights": weights(language.model),
        "data": digest(text.encode() for text in different),
    }
    return run(MaskedLanguage(language), task, course, folder=folder, made_by=made_by, progress=progress)


def _with_words(texts: list[str], language: Language) -> list[str]:
    """Return the texts of which the tokenizer knows a word."""
    marks = set(language.tokenizer.all_special_ids)
    read = language.tokenizer(texts, truncation=True, max_length=LENGTH)["input_ids"] if texts else []
    return [text for text, ids in zip(texts, read, strict=True) if not marks.issuperset(ids)]
