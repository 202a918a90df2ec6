"""`.npy` files without NumPy: arrays are mapped into memory and read, tables of floats are written."""

from __future__ import annotations

import ast
import mmap
import struct
import sys
from array import array
from typing import Any, Iterable, List, Sequence, Tuple

_MAGIC = b"\x93NUMPY\x01\x00"
_LETTERS = {"<f4": "f", "<f8": "d", "<i8": "q", "<u4": "I"}


class Array:
    """A mapped array: `array[k]` is its k-th value, or the k-th row as a flat view of its numbers."""

    def __init__(self, path: str) -> None:
        if sys.byteorder != "little":
            raise OSError("arrays are little-endian, and this machine is not; use palimpsest.numpy")
        with open(path, "rb") as file:
            start = file.read(10)
            if start[:8] != _MAGIC or len(start) < 10:
                raise ValueError(f"{path} is no .npy file of version 1.0")
            (length,) = struct.unpack("<H", start[8:])
            header = ast.literal_eval(file.read(length).decode("latin-1"))
            self.shape: Tuple[int, ...] = header["shape"]
            self.descr: str = header["descr"]
            letter = _LETTERS.get(self.descr)
            if letter is None or header["fortran_order"]:
                raise ValueError(f"{path} holds {self.descr}, which is none of {', '.join(_LETTERS)}")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.values = memoryview(self._map)[10 + length :].cast(letter)
        self._width = 1
        for side in self.shape[1:]:
            self._width *= side

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            if len(self.shape) == 1:
                return self.values[place]
            return [self[k] for k in range(*place.indices(len(self)))]
        if len(self.shape) == 1:
            return self.values[place]
        if not 0 <= place < len(self):
            raise IndexError(f"row {place} of {len(self)}")
        return self.values[place * self._width : (place + 1) * self._width]


def header(descr: str, shape: Sequence[int]) -> bytes:
    """What stands before the values."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    begun = len(_MAGIC) + 2 + len(text) + 1
    text += " " * (-begun % 64) + "\n"
    return _MAGIC + struct.pack("<H", len(text)) + text.encode("latin-1")


def write_table(path: str, rows: Iterable[Sequence[float]], columns: int) -> None:
    """Writes rows of floats."""
    values, count = array("f"), 0
    for row in rows:
        if len(row) != columns:
            raise ValueError(f"row {count} has {len(row)} numbers, not {columns}")
        values.extend(row)
        count += 1
    if sys.byteorder == "big":
        values.byteswap()
    with open(path, "wb") as file:
        file.write(header("<f4", (count, columns)))
        file.write(values.tobytes())


def take(values: Array, ids: Sequence[int]) -> List[Any]:
    """The rows, or values, of these examples."""
    return [values[k] for k in ids]
