"""A language model small enough for tests: two layers, 32 wide, drawn at random, with the real tokenizer."""

from functools import cache
from pathlib import Path

import torch

from training.language import Language, packaged


@cache
def _tokenizer() -> object:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(packaged(), local_files_only=True)


def tiny(seed: int = 0, dropout: float = 0.0) -> Language:
    """Return a new one, in evaluation mode."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=30_522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        initializer_range=0.1,
    )  # fmt: skip
    return Language(BertModel(config, add_pooling_layer=False).eval(), _tokenizer())


def saved(folder: Path, seed: int = 0) -> Path:
    """Write one, and return the folder."""
    tiny(seed).save(folder)
    return folder
