"""Semantic codes: a text vector as a few small numbers, coarse first, by residual quantisation.

    r_1 = e,    c_l = argmin_c |r_l - B_l[c]|,    r_{l+1} = r_l - B_l[c_l]          code = (1 + c_1, 1 + c_2, ...)

Each level's codebook B_l is a k-means of what the levels before left over (Juang and Gray, "Multiple stage vector
quantization for speech coding", ICASSP 1982; for items: Rajput et al., "Recommender systems with generative
retrieval", NIPS 2023). Items of like texts share the first numbers, so what is learned of some holds for all.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inference.tensors import CODE_LEVELS, CODES
from streams.errors import Misuse

ROUNDS = 20
"""Rounds of k-means a level; later ones move next to nothing."""
SAMPLE = 50_000
"""Vectors that a codebook is learned from, at most."""


class Quantiser(nn.Module):
    """Maps vectors (B, D) to their codes (B, C), from 1 up."""

    codebooks: Tensor

    def __init__(self, codebooks: NDArray[np.float32]) -> None:
        """`codebooks` are (C, CODES, D)."""
        super().__init__()
        self.register_buffer("codebooks", torch.from_numpy(codebooks))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the codes; of two that are as near the first counts."""
        left, codes = vectors, []
        for codebook in self.codebooks.unbind(0):
            nearest = _distances(left, codebook).argmin(dim=1)
            codes.append(nearest + 1)
            left = left - codebook[nearest]
        return torch.stack(codes, dim=1).int()


class CodedEncoder(nn.Module):
    """An encoder of texts with its codebooks: what is served, and answers `ENCODER_OUTPUTS`."""

    def __init__(self, encoder: nn.Module, quantiser: Quantiser) -> None:
        """`encoder` maps token ids and attention mask (B, L) to vectors (B, D)."""
        super().__init__()
        self.encoder, self.quantiser = encoder, quantiser

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors (B, D) and codes (B, C)."""
        vectors = self.encoder(input_ids, attention_mask)
        return vectors, self.quantiser(vectors)


def learn_codebooks(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Return codebooks (C, CODES, D) for vectors (N, D), each of the different ones counting once.

    The same vectors, in whatever order, and seed give the same. With fewer vectors than codes some codes go unused.

    Raises:
        Misuse: there is no vector, or one isn't finite.
    """
    if not len(vectors) or not np.isfinite(vectors).all():
        raise Misuse("codebooks: there are no text vectors to learn from, or some aren't finite")
    generator = np.random.default_rng(seed)
    different = np.unique(vectors, axis=0)
    if len(different) > SAMPLE:
        different = different[np.sort(generator.choice(len(different), SAMPLE, replace=False))]
    left, codebooks = torch.from_numpy(different), []
    for _ in range(CODE_LEVELS):
        codebook, nearest = _k_means(left, generator)
        codebooks.append(codebook)
        left = left - codebook[nearest]
    return torch.stack(codebooks).numpy()


def _k_means(vectors: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Return CODES means of vectors (N, D), and which of them is nearest to each, (N,)."""
    size = len(vectors)
    means = vectors[torch.from_numpy(generator.permutation(size)[:CODES])]
    means = torch.cat((means, means[:1].expand(CODES - len(means), -1)))  # unused: the first of equals is the nearest
    nearest = _distances(vectors, means).argmin(dim=1)
    for _ in range(ROUNDS):
        counts = torch.bincount(nearest, minlength=CODES)
        sums = torch.zeros_like(means).index_add_(0, nearest, vectors)
        means = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], means)
        distances = _distances(vectors, means)
        empty = torch.nonzero(counts == 0)[:, 0]
        if len(empty) and size > CODES:  # an unused code goes where vectors are far from theirs
            far = distances.gather(1, nearest[:, None])[:, 0] + vectors.square().sum(dim=1)
            means[empty] = vectors[far.argsort(descending=True, stable=True)[: len(empty)]]
            distances = _distances(vectors, means)
        nearest = distances.argmin(dim=1)
    return means, nearest


def _distances(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Return squared distances (N, CODES), each row without the square of its vector, which changes no order."""
    return codebook.square().sum(dim=1) - 2.0 * vectors @ codebook.t()
