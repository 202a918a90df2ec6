"""The data order of the contract (docs/contract_orders.md), bit for bit that of the Rust code.

    seed            SHA-256("palimpsest/seed/v1" || K u64 LE) for an integer K
    effective seed  the seed; with a beacon SHA-256(seed || dataset root || beacon)
    order           d = SHA-256("palimpsest/order/v1" || effective seed || epoch u32 LE) seeds PCG64, by which
                    0..n-1 are shuffled from the last place down: for i = n-1, ..., 1 swap i with a uniform j in
                    0..i, Lemire's multiply-shift of 64 bits with rejection

NumPy is used where it is loaded already, or `fast=True` asks for it; the order is the same.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from typing import Any, Iterator, List, Optional, Sequence

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK64 = (1 << 64) - 1
_MASK128 = (1 << 128) - 1
_AT_ONCE_BITS = 16
_DRAWN_AT_ONCE = 1 << _AT_ONCE_BITS


def integer_seed(number: int) -> bytes:
    """The seed that an integer stands for."""
    return hashlib.sha256(b"palimpsest/seed/v1" + number.to_bytes(8, "little")).digest()


def effective_seed(seed: bytes, dataset_root: bytes = b"", beacon: Optional[bytes] = None) -> bytes:
    """The seed of the orders: with public randomness mixed in where there is any."""
    return seed if beacon is None else hashlib.sha256(seed + dataset_root + beacon).digest()


def epoch(seed: bytes, number: int, n: int, fast: Optional[bool] = None) -> Any:
    """The ids of epoch `number` over `n` examples, as a list, or an array of u32 where NumPy is used."""
    if len(seed) != 32:
        raise ValueError(f"a seed has 32 bytes, not {len(seed)}; integer_seed makes one of a number")
    if not 0 <= n < 1 << 32 or not 0 <= number < 1 << 32:
        raise ValueError(f"epoch {number} over {n} examples: both must be at least 0 and below 2^32")
    digest = hashlib.sha256(b"palimpsest/order/v1" + seed + number.to_bytes(4, "little")).digest()
    if fast if fast is not None else "numpy" in sys.modules:
        return _shuffled_by_numpy(digest, n)
    source, ids = _draws(digest), list(range(n))
    for i in range(n - 1, 0, -1):
        j = _bounded(source, i + 1)
        ids[i], ids[j] = ids[j], ids[i]
    return ids


def order_hash(ids: Any) -> str:
    """SHA-256 of the ids as u32 LE, as records have it."""
    if hasattr(ids, "astype"):
        return hashlib.sha256(memoryview(ids.astype("<u4", copy=False)).cast("B")).hexdigest()
    packed = array("I", ids)
    if packed.itemsize != 4:
        packed = array("L", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return hashlib.sha256(packed.tobytes()).hexdigest()


def _state(digest: bytes) -> "tuple[int, int]":
    """State and increment of the generator that a digest seeds, before its first draw."""
    state, stream = int.from_bytes(digest[:16], "little"), int.from_bytes(digest[16:], "little")
    increment = (2 * stream + 1) & _MASK128
    return ((state + increment) * _MULTIPLIER + increment) & _MASK128, increment


def _draws(digest: bytes) -> Iterator[int]:
    """The generator's 64-bit outputs (XSL-RR): each draw steps first."""
    state, increment = _state(digest)
    while True:
        state = (state * _MULTIPLIER + increment) & _MASK128
        word, turn = (state >> 64) ^ (state & _MASK64), state >> 122
        yield ((word >> turn) | (word << (64 - turn))) & _MASK64


def _bounded(source: Iterator[int], n: int) -> int:
    """A uniform integer in 0..n-1."""
    product = next(source) * n
    if product & _MASK64 < n:
        threshold = (1 << 64) % n
        while product & _MASK64 < threshold:
            product = next(source) * n
    return product >> 64


def _shuffled_by_numpy(digest: bytes, n: int) -> Any:
    """The same shuffle, a stretch of swaps at a time."""
    import numpy as np

    state, increment = _state(digest)
    generator = np.random.PCG64()
    generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": increment},
        "has_uint32": 0,
        "uinteger": 0,
    }
    ids = np.arange(n, dtype=np.uint32)
    left: Any = np.empty(0, np.uint64)
    last = n - 1
    while last > 0:
        count = min(last, _DRAWN_AT_ONCE)
        if len(left) < count:
            left = np.concatenate([left, generator.random_raw(count - len(left))])
        bounds = np.arange(last + 1, last + 1 - count, -1, dtype=np.uint64)
        places, taken = _places(left[:count], bounds)
        # A draw that is rejected is nobody's: those behind it move up by one.
        left = left[taken:]
        if len(places):
            _swap(ids, last, places.astype(np.int64))
        last -= len(places)
    return ids


def _swap(ids: Any, last: int, places: Any) -> None:
    """Swaps, one after the other, place `last - t` with `places[t]` for t = 0, 1, ...; no place is behind its own.

    What stands at a place before swap t is what the latest swap before t with it brought there, if any. Swap t
    brings to places[t] what stood at its own place, which is what `brought` comes to; chains of such swaps are
    short and are followed for all t at once.
    """
    import numpy as np

    count = len(places)
    turns = np.arange(count)
    own = last - turns
    # The latest swap before t that brought something to the own place of t; where t swaps its own place with
    # itself, what it brings there is taken by nobody.
    brings = np.flatnonzero(places > last - count)
    link = turns.copy()
    link[last - places[brings]] = brings
    while True:
        further = link[link]
        if (further == link).all():
            break
        link = further
    brought = ids[last - link]
    # The latest swap before t with the same place.
    keys = np.sort((places << _AT_ONCE_BITS) | turns)
    turn, place = keys & ((1 << _AT_ONCE_BITS) - 1), keys >> _AT_ONCE_BITS
    again = np.flatnonzero(place[1:] == place[:-1]) + 1
    taken = ids[places]
    taken[turn[again]] = brought[turn[again - 1]]
    # Of swaps with one place the last one stays; places that are over get what was taken.
    ids[places] = brought
    ids[own] = taken


def _places(raw: Any, bounds: Any) -> "tuple[Any, int]":
    """Uniform places below each bound, up to the first draw that is rejected, and how many draws that took."""
    import numpy as np

    half = np.uint64(32)
    low, high = raw & np.uint64(0xFFFFFFFF), raw >> half
    # Bounds are below 2^32, so that no product of halves overflows.
    places = (high * bounds + ((low * bounds) >> half)) >> half
    rest = raw * bounds
    suspects = np.flatnonzero(rest < bounds)
    for at in suspects.tolist():
        if int(rest[at]) < (1 << 64) % int(bounds[at]):
            return places[:at], at + 1
    return places, len(raw)


def of_rank(ids: Sequence[int], rank: int, ranks: int, batch: int) -> List[Any]:
    """The batches of one rank: every step of all ranks is the next `batch * ranks` ids of the order, of which
    each rank has its `batch` in turn; at the end of an epoch they share what is left."""
    batches = []
    for start in range(0, len(ids), batch * ranks):
        step = ids[start : start + batch * ranks]
        cuts = [len(step) * part // ranks for part in (rank, rank + 1)]
        batches.append(step[cuts[0] : cuts[1]])
    return batches
