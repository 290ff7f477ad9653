"""What items' texts mean: semantic codes as they are stored, and which texts still wait for the encoder.

A stored code says of which text it is and who made it, so one of an older text or of another encoder is known as such.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.tensors import CODE_LEVELS
from streams.contracts.items import Item
from streams.features.item import Catalogue
from streams.features.text import item_text

_TEXT_BYTES: Final = 8
_CODE: Final = np.dtype("<u2")


class Meanings:
    """The codes of one encoder, of which `encoder` is the identity; texts that have none wait, each once."""

    def __init__(self, encoder: bytes) -> None:
        self.encoder = encoder
        self.waiting: dict[str, dict[str, None]] = {}
        """Texts without a code, and the items that have them."""
        self._text_of: dict[str, str] = {}

    def take(self, catalogue: Catalogue, item: Item, stored: bytes | None) -> None:
        """Give an item of the catalogue its stored code; its text waits if that is of another text or encoder.

        The code of an older text stays until there is a new one; one of another encoder doesn't.
        """
        text = item_text(item)
        self.drop(item.item_id)
        code, of_text = self._read(stored)
        catalogue.semantic[catalogue.index[item.item_id]] = code
        if text and of_text != _digest(text):
            self.waiting.setdefault(text, {})[item.item_id] = None
            self._text_of[item.item_id] = text

    def drop(self, item_id: str) -> None:
        """Let an item's text wait no more."""
        text = self._text_of.pop(item_id, None)
        if text is not None:
            items = self.waiting[text]
            del items[item_id]
            if not items:
                del self.waiting[text]

    def done(self, text: str, items: Iterable[str]) -> None:
        """Let items with that text wait no more, unless they have another one by now."""
        for item_id in items:
            if self._text_of.get(item_id) == text:
                self.drop(item_id)

    def packed(self, text: str, code: NDArray[np.int32]) -> bytes:
        """Return the code (C,) of a text as it is stored."""
        return self.encoder + _digest(text) + code.astype(_CODE).tobytes()

    def _read(self, stored: bytes | None) -> tuple[NDArray[np.int32], bytes]:
        """Return a stored code (C,) and the digest of its text; zeros and nothing if it isn't this encoder's."""
        size = len(self.encoder) + _TEXT_BYTES + CODE_LEVELS * _CODE.itemsize
        if stored is None or len(stored) != size or not stored.startswith(self.encoder):
            return np.zeros(CODE_LEVELS, np.int32), b""
        of_text, code = stored[len(self.encoder) :][:_TEXT_BYTES], stored[-CODE_LEVELS * _CODE.itemsize :]
        return np.frombuffer(code, _CODE).astype(np.int32), of_text


def packed_vector(vector: NDArray[np.float32]) -> bytes:
    """Return a vector (D,) as it is stored: in half precision, which moves no neighbour that matters."""
    return vector.astype("<f2").tobytes()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_TEXT_BYTES).digest()
