"""docs/models.md says of tensors what the contract says, and its links lead somewhere."""

import re
from pathlib import Path

import pytest

from inference.tensors import CODE_LEVELS, CODES, ENCODER, FEATURES, HISTORY, RANKER, SEEDS, Tensor
from inference.texts import MAX_TOKENS

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "models.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)`(?: \(out\))? \| (\([^)]*\)) \|", TEXT, re.MULTILINE))
LETTERS = {"features": {len(FEATURES): "F"}, "history_ids": {HISTORY: "T"}, "history_codes": {HISTORY: "T"}}


def told(tensor: Tensor) -> str:
    """Return the shape of a tensor as the document writes it."""
    letters = LETTERS.get(tensor.name, {})
    if tensor.name.endswith("codes"):
        letters = letters | {CODE_LEVELS: "C"}
    return f"({', '.join(letters.get(size, str(size)) for size in tensor.shape)})"  # type: ignore[call-overload]


def test_every_tensor_is_there_with_its_shape() -> None:
    assert {tensor.name: told(tensor) for model in (RANKER, ENCODER) for side in model for tensor in side} == ROWS


def test_numbers_are_those_of_the_contract() -> None:
    for sentence in (
        f"T = {HISTORY} items", f"C = {CODE_LEVELS} levels", f"each of {SEEDS} seeds", f"1 to {CODES} each",
        f"at most {MAX_TOKENS}", f"which of {CODES} groups",
    ):  # fmt: skip
        assert sentence in TEXT


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", TEXT))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).exists()
