"""What a cross-encoder learns: which candidates of a list were wanted, and how deep. It reads them as texts."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.tensors import HEADS
from training.adversarial import Adversary, against, shifted
from training.augment import Augmentation, Synonyms, augmented, cropped
from training.cross_encoder import CrossEncoder
from training.language import Language
from training.lists import Lists
from training.loop import Rows
from training.multitask import MultiTask
from training.text import Texts

LENGTH = 128
"""Tokens of a pair that are read."""


class Reader:
    """Turns hashed ids into what the language model reads."""

    def __init__(self, language: Language, texts: Texts) -> None:
        self._language, self._texts = language, texts

    def user(self, history_ids: NDArray[np.int32] | Sequence[int]) -> str:
        """Return the text of a history, latest first."""
        return self._texts.user(history_ids)

    def items(self, item_ids: NDArray[np.int32]) -> list[str]:
        """Return the text of each item, (R,)."""
        different, places = np.unique(item_ids, return_inverse=True)
        texts = self._texts.items(different.astype(np.int32))
        return [texts[place] for place in places.tolist()]

    def embedding(self) -> nn.Module:
        """Return the word embeddings of the language model."""
        words: nn.Module = self._language.model.get_input_embeddings()  # type: ignore[operator]
        return words

    def tokens(self, users: list[str], items: list[str], device: torch.device) -> dict[str, Tensor]:
        """Return pairs as the model takes them."""
        read = self._language.tokens(users, items, length=LENGTH)
        return {name: tensor.to(device) for name, tensor in read.items()}


class Weighed(nn.Module):
    """A cross-encoder with its loss, so that processes share all of it."""

    def __init__(self, cross: CrossEncoder, balance: MultiTask) -> None:
        super().__init__()
        self.cross, self.balance = cross, balance

    def forward(self, tokens: dict[str, Tensor], features: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of P pairs, which are the places of weights (B, K) above 0, in order; labels (B, K, H)."""
        z = self.cross(**tokens, features=features).float()  # (P, H)
        whole = torch.zeros_like(labels).masked_scatter((weight > 0).unsqueeze(2), z)
        value: Tensor = self.balance(whole, labels, weight)
        return value


class WantedAmong:
    """Lists with at least one candidate each, of which at most `candidates` are read."""

    def __init__(
        self,
        lists: Lists,
        reader: Reader,
        candidates: int,
        augmentation: Augmentation | None,
        adversary: Adversary | None,
    ) -> None:
        self.rows = len(lists)
        self._lists, self._reader, self._candidates = lists, reader, candidates
        self._augmentation, self._adversary = augmentation, adversary
        catalogue = set(reader.items(np.unique(lists.item_ids))) if augmentation else set()
        self._synonyms = Synonyms.among(sorted(catalogue))

    def loss(self, model: nn.Module, rows: Rows, generator: np.random.Generator) -> Tensor:
        """Return the loss of lists, plus that against an adversary."""
        at, weight = drawn(self._lists, rows, self._candidates, generator)
        real = weight > 0
        device = next(model.parameters()).device
        users, items = self._read(rows, at, real, generator)
        tokens = self._reader.tokens(users, items, device)
        features = torch.from_numpy(self._lists.features[at[real]]).to(device)
        depth = np.where(real, self._lists.depth[at], 0)
        labels = torch.from_numpy((depth[..., None] > np.arange(len(HEADS))).astype(np.float32)).to(device)
        weights = torch.from_numpy(weight).to(device)

        def once() -> Tensor:
            value: Tensor = model(tokens, features, labels, weights)
            return value

        plain = once()
        if self._adversary is None:
            return plain
        embedding = self._reader.embedding()
        seed = int(generator.integers(2**63 - 1))
        shift = against(embedding, once, self._adversary, torch.Generator().manual_seed(seed))
        with shifted(embedding, shift):
            return plain + self._adversary.weight * once()

    def _read(
        self, rows: Rows, at: NDArray[np.int64], real: NDArray[np.bool_], generator: np.random.Generator
    ) -> tuple[list[str], list[str]]:
        """Return the two texts of each pair, (P,), another way each time if augmented."""
        items = self._reader.items(self._lists.item_ids[at[real]])
        histories: list[Sequence[int]] = [[i for i in self._lists.history_ids[row].tolist() if i] for row in rows]
        how = self._augmentation
        if how is not None:
            items = [augmented(text, how, self._synonyms, generator) for text in items]
            histories = [cropped(history, how, generator) for history in histories]
        told = [self._reader.user(history) for history in histories]
        return [told[n] for n in np.nonzero(real)[0].tolist()], items


def drawn(
    lists: Lists, rows: Rows, candidates: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return places of candidates to read (B, K), and how many each stands for, 0 for padding.

    Wanted ones come first, at most half of what is read; each kind weighs as much as all of its kind did.
    """
    at = np.zeros((len(rows), candidates), np.int64)
    weight = np.zeros((len(rows), candidates), np.float32)
    for place, row in enumerate(rows.tolist()):
        places = np.arange(lists.offsets[row], lists.offsets[row + 1])
        wanted = lists.depth[places] > 0
        filled = 0
        for kind, most in ((wanted, candidates // 2), (~wanted, candidates - min(candidates // 2, int(wanted.sum())))):
            all_of_it = places[kind]
            some = generator.permutation(all_of_it)[:most]
            if not len(some):
                continue
            at[place, filled : filled + len(some)] = some
            share = lists.weight[all_of_it].sum() / lists.weight[some].sum()
            weight[place, filled : filled + len(some)] = lists.weight[some] * share
            filled += len(some)
    return at, weight
