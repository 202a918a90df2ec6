"""The same programs with NumPy's arrays: inputs and labels are mapped, batches are copies."""

from __future__ import annotations

from typing import Any, Callable, Dict, Sequence

import numpy as np

from . import npy
from .task import Method


class Arrays:
    """NumPy's arrays."""

    def versions(self) -> Dict[str, str]:
        """Versions of what it uses."""
        return {"numpy": np.__version__}

    def load(self, path: str) -> Any:
        """The array in a file, as plain memory that is mapped."""
        mapped = npy.Array(path)
        return np.frombuffer(mapped.values, mapped.descr).reshape(mapped.shape)

    def take(self, values: Any, ids: Any) -> Any:
        """The rows of these examples."""
        return values.take(ids, axis=0)

    def save(self, path: str, parts: Sequence[Any], classes: int) -> None:
        """Writes outputs, which come in parts."""
        table = np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])
        np.save(path, np.ascontiguousarray(table), allow_pickle=False)


def method(**defaults: Any) -> Callable[[Callable[..., Any]], Method]:
    """As `palimpsest.method`, with NumPy's arrays."""
    return lambda function: Method(function, defaults, Arrays())
