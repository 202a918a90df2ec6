"""The order of the contract for data loaders: `DataLoader(data, batch_sampler=BatchSampler(...))`.

Samplers of PyTorch are iterables with a length, and these are: nothing is imported from it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List

from . import order

_VERSION = 1


class Sampler:
    """Ids of one epoch after another, one process; resumes in the middle of an epoch."""

    def __init__(self, examples: int, seed: bytes, epoch: int = 0) -> None:
        self.examples, self.seed, self.epoch = examples, seed, epoch
        #: Ids of the epoch that were handed out.
        self.position = 0

    def __len__(self) -> int:
        return self.examples - self.position

    def set_epoch(self, epoch: int) -> None:
        """Begins this epoch; without it each pass is the next one."""
        self.epoch, self.position = epoch, 0

    def ids(self) -> Any:
        """All ids of the epoch."""
        return order.epoch(self.seed, self.epoch, self.examples)

    def __iter__(self) -> Iterator[int]:
        for place in self.ids()[self.position :]:
            self.position += 1
            yield int(place)
        self.set_epoch(self.epoch + 1)

    def state_dict(self, consumed: "int | None" = None) -> Dict[str, Any]:
        """Where it stands. A loader with workers hands ids out ahead of the training: give `consumed`, the ids
        of this epoch that were trained on."""
        return {
            "version": _VERSION,
            "seed": self.seed.hex(),
            "examples": self.examples,
            "epoch": self.epoch,
            "position": self.position if consumed is None else consumed,
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Goes on where another one stood, of the same seed and data."""
        here = {"version": _VERSION, "seed": self.seed.hex(), "examples": self.examples}
        for name, value in here.items():
            if state.get(name) != value:
                raise ValueError(f"{name} is {state.get(name)!r} in the state, but {value!r} here")
        if not 0 <= state["position"] <= self.examples:
            raise ValueError(f"position is {state['position']!r} of {self.examples}")
        self.epoch, self.position = state["epoch"], state["position"]


class BatchSampler(Sampler):
    """Batches of one epoch after another, for one of several ranks.

    A step of all ranks is the next `batch_size * ranks` ids of the order, cut in turn: what is consumed in a
    step does not depend on how many ranks share it. The last step of an epoch is shared as evenly as can be;
    where that leaves a rank nothing, every rank leaves the step out and `left_out` says how many ids that are.
    """

    def __init__(
        self,
        examples: int,
        seed: bytes,
        batch_size: int,
        rank: int = 0,
        ranks: int = 1,
        epoch: int = 0,
        drop_last: bool = False,
    ) -> None:
        super().__init__(examples, seed, epoch)
        if batch_size < 1 or not 0 <= rank < ranks:
            raise ValueError(f"batch_size {batch_size}, rank {rank} of {ranks}: no such batches")
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks
        rest = examples % (batch_size * ranks)
        #: Ids at the end of every epoch that nobody gets.
        self.left_out = rest if drop_last or rest < ranks else 0

    def _end(self) -> int:
        return self.examples - self.left_out

    def __len__(self) -> int:
        return -(-(self._end() - self.position) // (self.batch_size * self.ranks))

    def __iter__(self) -> Iterator[List[int]]:  # type: ignore[override]
        ids = self.ids()[self.position : self._end()]
        for batch in order.of_rank(ids, self.rank, self.ranks, self.batch_size):
            self.position = min(self.position + self.batch_size * self.ranks, self._end())
            yield [int(place) for place in batch]
        self.set_epoch(self.epoch + 1)
