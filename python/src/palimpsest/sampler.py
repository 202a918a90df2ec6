"""The order of the contract for data loaders, exact over ranks and resumed by what was trained on.

    sampler = BatchSampler(len(data), order.integer_seed(0), batch_size=32)
    loader = DataLoader(data, batch_sampler=sampler, num_workers=2, persistent_workers=True)
    batches = sampler.consuming(loader)
    while sampler.epoch < epochs:
        for inputs, labels in batches:
            ...                                             # a step
            torch.save(batches.state_dict(), "batches.pt")  # at any step

A loader with workers asks for ids long before they are trained on, and a look at a first batch asks for them too.
So handing ids out moves nothing: a pass begins where the training stands, which `consuming` counts, and `set_epoch`
and `load_state_dict` say. Where nobody counts, the next epoch begins when all ids of one were handed out.

Samplers of PyTorch are iterables with a length, and these are: nothing is imported from it.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from . import order

_VERSION = 1
_AT_ONCE = 1 << 16


class Sampler:
    """Ids of one epoch after another, for one process: `DataLoader(data, sampler=Sampler(…), batch_size=32)`."""

    def __init__(self, examples: int, seed: bytes, epoch: int = 0) -> None:
        self.examples, self.seed = examples, seed
        self._kept: Optional[Tuple[int, Any]] = None
        self._follower: Optional[object] = None
        self._stand(epoch, 0)

    def _stand(self, epoch: int, position: int) -> None:
        #: The epoch, and how many ids of its order were trained on.
        self.epoch, self.position = epoch, position
        # Where the pass began; whether one that nobody counts has begun, and has come to its end.
        self._from, self._untold, self._over = position, False, False

    def _end(self, start: int) -> int:
        """The place behind the last id of a pass that starts at this one."""
        return self.examples

    def __len__(self) -> int:
        """Of a whole epoch, also where a pass begins inside of one: trainers count with that."""
        return self._end(0)

    def ids(self) -> Any:
        """All ids of the epoch."""
        if self._kept is None or self._kept[0] != self.epoch:
            self._kept = (self.epoch, order.epoch(self.seed, self.epoch, self.examples))
        return self._kept[1]

    def set_epoch(self, epoch: int) -> None:
        """Goes to the start of an epoch, or stays inside of it: trainers announce each, also after a resumption."""
        if self._over or epoch != self.epoch:
            self._stand(epoch, 0)

    def __iter__(self) -> Iterator[Any]:
        # No generator: a pass begins when it is asked for, not with its first id.
        if self._over:
            self._stand(self.epoch + 1, 0)
        self._from = self.position
        return self._pass(self.ids(), self.position)

    def _pass(self, ids: Any, start: int) -> Iterator[Any]:
        counted = self._follower is not None
        self._untold |= not counted
        given = self._given(ids, start, self._end(start))
        last = next(given, None)
        for following in given:
            yield last
            last = following
        # Over with the last one: a loop that knows the length does not ask for the end.
        self._over |= not counted
        if last is not None:
            yield last

    def _given(self, ids: Any, start: int, end: int) -> Iterator[Any]:
        for at in range(start, end, _AT_ONCE):
            yield from _plain(ids[at : min(at + _AT_ONCE, end)])

    def consuming(self, loader: Any) -> "Consuming":
        """A loader over this sampler, whose batches count as trained on when they are given out."""
        source = getattr(loader, "batch_sampler", None)
        size = 1 if source is None else source.batch_size
        return Consuming(self, loader, size, size if getattr(source, "drop_last", False) else 1)

    def _counted(self, loader: Iterable[Any], size: int, least: int) -> Iterator[Any]:
        """The batches, of `size` ids each; the last one has at least `least`."""
        if self._over:
            self._stand(self.epoch + 1, 0)
        self._untold = False
        at, end = self.position, self._end(self.position)
        this = self._follower = object()
        try:
            for batch in loader:
                if end - at < least:
                    raise RuntimeError(f"the loader goes on behind id {at} of {end}: is it over this sampler?")
                at = min(at + size, end)
                self._consume(at, end)
                self._over = end - at < least
                yield batch
            if end - at >= least:
                raise RuntimeError(f"the loader ended at id {at} of {end}: is it over this sampler?")
            self._stand(self.epoch + 1, 0)
        finally:
            if self._follower is this:
                self._follower = None

    def _consume(self, at: int, end: int) -> None:
        """The ids before this place were trained on."""
        self.position = at

    def state_dict(self, consumed: Optional[int] = None) -> Dict[str, Any]:
        """Where the training stands: after what `consuming` counted, or `consumed` ids of this epoch."""
        if consumed is None and self._untold:
            raise RuntimeError(
                "ids were handed out, and how many of them were trained on only the loop knows: "
                "loop over sampler.consuming(loader), or call state_dict(consumed=…) with their number"
            )
        position = self.position if consumed is None else consumed
        if not _count(position, self.examples):
            raise ValueError(f"consumed is {consumed!r} of {self.examples}")
        here = {"version": _VERSION, "seed": self.seed.hex(), "examples": self.examples}
        return {**here, "epoch": self.epoch, "position": position}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Goes on where another one stood, of the same seed and data, and of any batch size and number of ranks."""
        here = {"version": _VERSION, "seed": self.seed.hex(), "examples": self.examples}
        for name, value in here.items():
            if state.get(name) != value:
                raise ValueError(f"{name} is {state.get(name)!r} in the state, but {value!r} here")
        for name, most in (("epoch", (1 << 32) - 1), ("position", self.examples)):
            if not _count(state.get(name), most):
                raise ValueError(f"{name} is {state.get(name)!r} in the state, which is not in 0 to {most}")
        self._stand(state["epoch"], state["position"])


class Consuming:
    """A loader whose batches are counted: iterable again and again, and with a state that trainers can keep."""

    def __init__(self, sampler: Sampler, loader: Any, size: int, least: int) -> None:
        self.sampler, self.loader = sampler, loader
        self._size, self._least = size, least

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        return self.sampler._counted(self.loader, self._size, self._least)

    def state_dict(self) -> Dict[str, Any]:
        """As of the sampler."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """As of the sampler."""
        self.sampler.load_state_dict(state)


class BatchSampler(Sampler):
    """Batches of one epoch after another, for one of several ranks.

    The next `batch_size * ranks` ids of the order are a batch for each rank, so that what all ranks train on does
    not depend on how many they are. With `accumulate`, that many batches are one step, and a state is one between
    steps. At the end of an epoch the ranks share what is left as evenly as can be; where that leaves one of them
    nothing, all leave it out, as they do with `drop_last`. With `pad`, the first ids of the epoch fill it up.
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
        accumulate: int = 1,
        pad: bool = False,
    ) -> None:
        super().__init__(examples, seed, epoch)
        if batch_size < 1 or accumulate < 1 or not 0 <= rank < ranks:
            raise ValueError(
                f"batch_size {batch_size}, accumulate {accumulate}, rank {rank} of {ranks}: no such batches"
            )
        if drop_last and pad:
            raise ValueError("drop_last and pad: the last batch is either left out or filled up")
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks
        self.drop_last, self.accumulate, self.pad = drop_last, accumulate, pad
        self._wide = batch_size * ranks

    def _stand(self, epoch: int, position: int) -> None:
        super()._stand(epoch, position)
        #: Whether the batch that was given out last ends a step.
        self.step_ends = False
        self._step = (position, position)

    @property
    def left_out(self) -> int:
        """Ids at the end of this pass that no rank gets."""
        return self.examples - self._end(self._from)

    @property
    def padding(self) -> int:
        """Ids at the end of this pass that repeat the first ones of the epoch."""
        return self._repeated(self._from)

    @property
    def step_ids(self) -> List[int]:
        """Ids of all ranks in the present step, repeated ones at their end: what a transcript says of it."""
        start, end = self._step
        return self._filled(self.ids(), start, end, self._from)

    @property
    def step_size(self) -> int:
        """Their number: a loss summed over a batch and divided by it adds up to the mean over the step."""
        start, end = self._step
        return end - start + (self._repeated(self._from) if end == self.examples else 0)

    def _end(self, start: int) -> int:
        rest = (self.examples - start) % self._wide
        dropped = self.drop_last or (rest < self.ranks and not self.pad)
        return self.examples - rest if dropped else self.examples

    def _repeated(self, start: int) -> int:
        return (start - self.examples) % self._wide if self.pad else 0

    def __len__(self) -> int:
        return -(-super().__len__() // self._wide)

    def _filled(self, ids: Any, at: int, until: int, start: int) -> List[int]:
        """Ids between two places of a pass, padded where it ends."""
        batch = _plain(ids[at:until])
        missing = self._repeated(start) if until == self.examples else 0
        return batch + [int(ids[k % self.examples]) for k in range(missing)]

    def _given(self, ids: Any, start: int, end: int) -> Iterator[Any]:
        for at in range(start, end, self._wide):
            batch = self._filled(ids, at, min(at + self._wide, end), start)
            yield order.of_rank(batch, self.rank, self.ranks, self.batch_size)[0]

    def consuming(self, loader: Any) -> Consuming:
        """A loader over this sampler, whose batches count as trained on when the last one of a step is given out;
        `step_ends`, `step_size` and `step_ids` tell of the step."""
        return Consuming(self, loader, self._wide, 1)

    @property
    def sampler(self) -> "BatchSampler":
        """Itself: where trainers look for what they announce epochs to."""
        return self

    def _consume(self, at: int, end: int) -> None:
        start = self.position
        self._step = (start, min(start + self._wide * self.accumulate, end))
        self.step_ends = at == self._step[1]
        if self.step_ends:
            self.position = at


def _count(value: Any, most: int) -> bool:
    """Whether this is a whole number from 0 to `most`."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _plain(ids: Any) -> List[int]:
    """Ids as numbers of Python."""
    return ids.tolist() if hasattr(ids, "tolist") else list(ids)
