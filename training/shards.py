"""Lists on disk: Parquet, one row a list, with the names and shapes of the tensor contract; a shard is one row group.

A tensor (B, n) is a list of n numbers a row, one (B, K, n) a list of the row's own K candidates, each n numbers, and
what has more sizes lies flat; `COLUMNS` says what stands beside them. A shard appears under its name when it is whole,
and carries checksums and the contract that it was made by. The same lists give the same bytes.
"""

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from inference.tensors import FEATURES, HEADS, RANKER_INPUTS, Tensor
from streams.errors import Misuse

CONTRACT: Final = b"streamrank.contract"
"""Key of the schema's metadata: the features and tensors that the lists were made with."""
LISTS: Final = 2_000
"""Lists of a shard, and so of a row group. More: fewer files, and more memory: one takes some 40 MB when read."""


class Column(NamedTuple):
    """A column: an array of `shape` (none: a number) a row, or for each candidate of a row if it is `ragged`."""

    dtype: np.dtype[Any]
    ragged: bool = False
    shape: tuple[int, ...] = ()
    optional: bool = False

    @property
    def arrow(self) -> Any:
        """The Arrow type of a row's value."""
        kind = pa.from_numpy_dtype(self.dtype)
        if self.shape:
            kind = pa.list_(_element(kind), math.prod(self.shape))
        return pa.list_(_element(kind)) if self.ragged else kind


def _of(tensor: Tensor) -> Column:
    return Column(tensor.numpy, "K" in tensor.shape, tuple(size for size in tensor.shape if isinstance(size, int)))


def _element(kind: Any) -> Any:
    return pa.field("element", kind, nullable=False)


COLUMNS: Final[Mapping[str, Column]] = {tensor.name: _of(tensor) for tensor in RANKER_INPUTS} | {
    "depth": Column(np.dtype(np.uint8), ragged=True),
    "weight": Column(np.dtype(np.float32), ragged=True),
    "users": Column(np.dtype(np.int32)),
    "targets": Column(np.dtype(np.int32)),
    "at_ms": Column(np.dtype(np.int64)),
    "teacher": Column(np.dtype(np.float32), ragged=True, shape=(len(HEADS),), optional=True),
    "position": Column(np.dtype(np.int32), ragged=True, optional=True),
    "propensity": Column(np.dtype(np.float32), ragged=True, optional=True),
}
Arrays = dict[str, NDArray[Any] | None]
"""Arrays by the names of COLUMNS, a ragged one (R, ...) for all lists together, and `offsets` (N + 1,)."""


def contract() -> str:
    """Return what lists must have been made with to be read: the features, and each tensor's dtype and shape."""
    tensors = (f"{tensor.name} {tensor.dtype} {list(tensor.shape)}" for tensor in RANKER_INPUTS)
    return "; ".join((*tensors, f"features {' '.join(FEATURES)}", f"heads {' '.join(HEADS)}"))


def write(path: Path, arrays: Arrays) -> None:
    """Write a shard; columns that are None are left out.

    Raises:
        Misuse: it can't be written; nothing is left under its name.
    """
    offsets = arrays["offsets"]
    named = {name: (column, values) for name, column in COLUMNS.items() if (values := arrays[name]) is not None}
    schema = pa.schema(
        [pa.field(name, column.arrow, nullable=False) for name, (column, _) in named.items()],
        {CONTRACT: contract().encode()},
    )
    table = pa.table([_as_arrow(*one, offsets) for one in named.values()], schema=schema)
    unfinished = path.with_name(f".{path.name}.new")
    try:
        parquet.write_table(
            table, unfinished, row_group_size=max(1, len(table)), compression="lz4", write_page_checksum=True
        )
        unfinished.replace(path)
    except OSError as exc:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise Misuse(f"{path}: cannot write the shard: {exc.strerror or exc}") from exc


def read(path: Path) -> Arrays:
    """Read a shard.

    Raises:
        Misuse: it is missing, cut or damaged, no shard, or was made by another contract.
    """
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            _check(path, file.schema_arrow)
            table = file.read(use_threads=False).combine_chunks()
            return _as_arrays(table)
    except (OSError, ValueError, KeyError, pa.ArrowException) as exc:
        said = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise Misuse(f"{path}: cannot read the shard: {said}; remove it with its folder, and train again") from exc


def _check(path: Path, schema: Any) -> None:
    made_with = (schema.metadata or {}).get(CONTRACT)
    if made_with is None:
        raise Misuse(f"{path}: no shard of lists: its schema doesn't say `{CONTRACT.decode()}`")
    if made_with.decode() != contract():
        raise Misuse(f"{path}: was made with another tensor contract: remove it with its folder, and train again")
    for name, column in COLUMNS.items():
        place = schema.get_field_index(name)
        if not (column.optional and place < 0) and (place < 0 or schema.field(place).type != column.arrow):
            raise Misuse(f"{path}: column `{name}` is missing or isn't {column.arrow}: was it made by another version?")


def _as_arrow(column: Column, values: NDArray[Any], offsets: Any) -> Any:
    array = pa.array(np.ascontiguousarray(values, column.dtype).ravel())
    if column.shape:
        kind = pa.list_(_element(array.type), math.prod(column.shape))
        array = pa.FixedSizeListArray.from_arrays(array, type=kind)
    if column.ragged:
        array = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), array, type=column.arrow)
    return array


def _as_arrays(table: Any) -> Arrays:
    """Return the columns of a table in one chunk as arrays, and `offsets`, which all ragged ones share."""
    arrays: Arrays = dict.fromkeys(COLUMNS)
    offsets: NDArray[Any] | None = None
    for name in (name for name in COLUMNS if name in table.column_names):
        column, values = COLUMNS[name], _chunk(table, name)
        if column.ragged:
            own = values.offsets.to_numpy().astype(np.int64)
            if offsets is not None and not np.array_equal(own, offsets):
                raise ValueError(f"column `{name}` has other candidates than those before it")
            offsets, values = own, values.flatten()
        if column.shape:
            values = values.flatten()
        arrays[name] = values.to_numpy(zero_copy_only=False).reshape(-1, *column.shape)
    return arrays | {"offsets": offsets}


def _chunk(table: Any, name: str) -> Any:
    """Return a column as one array; of no rows there is no chunk."""
    chunked = table.column(name)
    return chunked.chunk(0) if chunked.num_chunks else pa.array([], chunked.type)
