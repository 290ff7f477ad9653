"""Writes an encoder of texts as the model folder that Triton serves and workers read: weights, codebooks, vocabulary.

    encoder/config.pbtxt  encoder/1/model.onnx  encoder/1/tokenizer.json

Codebooks are learned from the shop's own texts and lie in the ONNX file, so whoever encodes a text gets its code too.
The version appears under its name only when what it says was compared with torch.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from inference.encoder import Encoded
from inference.onnx_encoder import OnnxEncoder
from inference.tensors import ENCODER, Target, config_pbtxt
from inference.texts import TOKENIZER_FILE
from streams.errors import BadModel, EncoderUnavailable, Misuse
from training.codes import CodedEncoder, Quantiser, learn_codebooks
from training.encoder import Encoder
from training.export import MODEL_FILE, TOLERANCE
from training.graphs import graph_of
from training.manifest import MANIFEST_FILE
from training.quantise import in_int8, rounded
from training.staged import write_whole

CONFIG_FILE = "config.pbtxt"
COMPARED = 64
"""Texts whose vectors and codes are compared with torch before a version may be served."""


def export_encoder(
    encoder: Encoder,
    texts: Sequence[str],
    folder: Path,
    version: int,
    *,
    target: Target = "cpu",
    int8: bool = False,
    seed: int = 1,
) -> Path:
    """Write `<folder>/<version>/` with codebooks learned from `texts`, and the folder's config; return its path.

    Raises:
        Misuse: there is no text, or the folder isn't named `encoder`, as Triton and workers call it.
        BadModel: the file differs from the encoder, or a text's answer depends on its batch.
        CannotWrite: the disk is full, or the folder isn't ours to write.
    """
    if folder.name != "encoder":
        raise Misuse(f"{folder}: the folder of an encoder is called `encoder`, as the model in Triton is")
    different = sorted({text for text in texts if text})
    if not different:
        raise Misuse("no item has a text: there is nothing to learn semantic codes from")
    encoder = rounded(encoder) if int8 else encoder
    quantiser = Quantiser(learn_codebooks(encoder.encode(different), seed))
    coded = CodedEncoder(encoder, quantiser).eval()
    example = [tensor.int() for tensor in encoder.tokens(["one text", "and another one that is longer"])]
    graph = graph_of(coded, example, ENCODER, "encoder")
    staged = folder / f".{version}.new"
    place = staged / str(version)
    try:
        place.mkdir(parents=True, exist_ok=True)
        onnx.save(in_int8(graph) if int8 else graph, place / MODEL_FILE)
        write_whole(place / TOKENIZER_FILE, encoder.language.tokenizer.backend_tokenizer.to_str().encode())
        every = max(1, len(different) // COMPARED)
        _check(OnnxEncoder(staged, version), coded, different[::every][:COMPARED])
        _write_manifest(place, len(different), coded, int8=int8, seed=seed)
        write_whole(folder / CONFIG_FILE, config_pbtxt(folder.name, target).encode())
        shutil.rmtree(folder / str(version), ignore_errors=True)
        return place.rename(folder / str(version))
    except EncoderUnavailable as exc:
        raise BadModel(f"the exported encoder fails: {exc}") from exc
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _write_manifest(place: Path, texts: int, coded: CodedEncoder, *, int8: bool, seed: int) -> None:
    hashes = {name: hashlib.sha256((place / name).read_bytes()).hexdigest() for name in (MODEL_FILE, TOKENIZER_FILE)}
    levels, codes, width = coded.quantiser.codebooks.shape
    manifest = {
        "model": f"encoder/{place.name}",
        "texts": texts,
        "levels": levels,
        "codes": codes,
        "width": width,
        "int8": int8,
        "seed": seed,
        "sha256": hashes,
    }
    write_whole(place / MANIFEST_FILE, (json.dumps(manifest, indent=1) + "\n").encode())


def _check(served: OnnxEncoder, coded: CodedEncoder, texts: Sequence[str]) -> None:
    """Compare the file with torch, and texts alone with texts together.

    Raises:
        BadModel: they differ.
    """
    answer = served.encoded(texts)
    with torch.inference_mode():
        vectors = torch.from_numpy(coded.encoder.encode(list(texts)))  # type: ignore[operator]
        codes = coded.quantiser(vectors)
    worst = float(np.abs(answer.vectors - vectors.numpy()).max())
    if worst > TOLERANCE:
        raise BadModel(f"{served.model}: a vector differs from torch by {worst:.2g} (limit {TOLERANCE:g})")
    books = coded.quantiser.codebooks.numpy()
    # Not the codes: of two that are as near, rounding decides.
    further = _left_over(answer, books) - _left_over(Encoded(vectors.numpy(), codes.numpy()), books)
    if further.max() > TOLERANCE:
        raise BadModel(f"{served.model}: a code is further from its text than torch's, by {further.max():.2g}")
    for text, vector in list(zip(texts, answer.vectors, strict=True))[:3]:
        alone = float(np.abs(served.encoded([text]).vectors[0] - vector).max())
        if alone > TOLERANCE / 10:
            raise BadModel(f"{served.model}: a text depends on its batch, by {alone:.2g}")


def _left_over(encoded: Encoded, codebooks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each code is from its vector, (N,)."""
    levels = range(len(codebooks))
    said = sum(codebooks[level][encoded.codes[:, level] - 1] for level in levels)
    far: NDArray[np.float32] = np.linalg.norm(encoded.vectors - said, axis=1)
    return far
