"""A verifiable run of a script that runs by itself: it starts `palimpsest record`, which has the order, the clocks and
the store (docs/external.md).

    with palimpsest.record(workload="my-task", metric="accuracy", target=0.9, examples=len(data), batch_size=32,
                           epochs=10, settings={"lr": 0.1}) as run:
        run.evaluate(accuracy=score(model))
        for ids in run.batches():
            step(model, data[ids])
            if run.due():
                run.evaluate(accuracy=score(model))
    print(run.id, run.status)
"""

from __future__ import annotations

import contextlib
import json
import math
import operator
import os
import platform
import sys
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Type, Union

from .protocol import VERSION, Recorder, Refused
from .task import Plain, Task


class Record(Task):
    """A run under way, and what became of it."""

    def __init__(self, connection: Recorder, begin: Dict[str, Any], batch_size: int) -> None:
        super().__init__(connection, begin, Plain())
        self._recorder = connection
        self._batch_size, self._started = batch_size, False
        self._every: int = begin["evaluate_every"]
        #: Id, status (`reached`, `censored`, `diverged`, `failed`) and store of the run, once it is over.
        self.id: str = ""
        self.status: str = ""
        self.store: str = ""

    def batches(self, batch_size: int = 0) -> Iterator[Sequence[int]]:  # type: ignore[override]
        """The ids of each step, in the order that was committed to, `batch_size` of the record at a time."""
        if batch_size not in (0, self._batch_size):
            raise ValueError(f"batch_size is {batch_size} here, but {self._batch_size} in what is recorded")
        return self._steps()

    def ids(self, batch_size: int = 0) -> Iterator[Sequence[int]]:
        """The same."""
        return self.batches(batch_size)

    def _steps(self) -> Iterator[Sequence[int]]:
        yield from self._batches(self._batch_size)
        if self._asked and self.samples < self.budget:
            raise RuntimeError(
                f"an evaluation is due at {self.samples} samples: call run.evaluate({self.metric}=…) before the first "
                "batch, and behind every step for which run.due() is true"
            )

    def due(self) -> bool:
        """Whether an evaluation is due: before the first step, and behind those that reach the next place of the grid.
        The train clock stands still from here until the metric is told."""
        self._book()
        self._start()
        self._listen()
        return bool(self._asked)

    def evaluate(self, **metrics: float) -> None:  # type: ignore[override]
        """Tells the metric, where an evaluation is due."""
        if list(metrics) != [self.metric]:
            raise TypeError(f"this run tells {self.metric} and nothing else, not {', '.join(metrics) or 'nothing'}")
        if not self.due():
            raise RuntimeError(
                f"no evaluation is due at {self.samples} samples; run.due() tells, and evaluate_every is {self._every}"
            )
        self._asked = ""
        self._say_metric(metrics[self.metric])

    def _start(self) -> None:
        if not self._started:
            self._started = True
            super()._start()

    def _metrics(self, split: str) -> None:
        self._asked = split

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], problem: Optional[BaseException], _: Optional[TracebackType]
    ) -> None:
        try:
            if kind is None:
                self._conclude_or_tell()
            else:
                self._give_up(f"{kind.__name__}: {problem}")
        finally:
            self._recorder.close()

    def _conclude_or_tell(self) -> None:
        """Where nothing was told, the recorder would wait for as long as a child of this process holds the pipe."""
        try:
            self._conclude()
        except BaseException as failed:
            if not self.status:
                self._give_up(f"{type(failed).__name__}: {failed}")
            raise

    def _conclude(self) -> None:
        """Answers what is asked behind the last step, and hears what became of the run."""
        self._book()
        self._start()
        self._listen()
        if self._asked or self._pending is None:
            missing = "never told the evaluation that was due" if self._asked else "let go of its batches"
            reason = f"the script {missing} at {self.samples} of {self.budget} samples"
            self._give_up(reason)
            raise RuntimeError(f"{reason}; the run is recorded as failed")
        self._finish()
        self._hear_outcome()

    def _give_up(self, reason: str) -> None:
        # The recorder is gone, or has said itself why the run is over and goes on to what became of it.
        with contextlib.suppress(Refused, OSError):
            self._recorder.give_up(reason)
        with contextlib.suppress(Refused, OSError):
            self._hear_outcome()

    def _hear_outcome(self) -> None:
        recorded = self._recorder.outcome()
        self.id, self.status, self.store = recorded["run"], recorded["status"], recorded["store"]


def _script() -> str:
    """The script that runs."""
    path = sys.argv[0] if sys.argv else ""
    # A notebook's is that of its kernel.
    if not os.path.isfile(path) or "ipykernel" in sys.modules:
        raise ValueError("there is no script whose file could be named; give files=[…], a path each")
    return path


def _whole(name: str, value: Any, least: int, bits: int) -> int:
    """An option that is a whole number, as the recorder reads it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}, which is no whole number") from None
    if not least <= number < 1 << bits:
        raise ValueError(f"{name} is {number}; it lies from {least} to 2^{bits} - 1")
    return number


def record(
    *,
    workload: str,
    metric: str,
    target: float,
    examples: int,
    batch_size: int,
    samples: Optional[int] = None,
    epochs: Optional[float] = None,
    evaluate_every: Optional[int] = None,
    direction: str = "higher",
    seed: Optional[int] = None,
    attested: bool = False,
    arm: str = "",
    settings: Optional[Dict[str, Any]] = None,
    data: str = "",
    target_origin: str = "",
    files: Sequence[str] = (),
    versions: Optional[Dict[str, str]] = None,
    device: Optional[str] = None,
    store: Union[str, "os.PathLike[str]", None] = None,
    again: bool = False,
    program: str = "palimpsest",
) -> Record:
    """Begins a run that `palimpsest record` keeps; to be used in a `with`.

    `examples` are known by the numbers from 0 to below it. The budget is `samples` or `epochs`, evaluations are
    `evaluate_every` samples apart (an epoch by default). `seed` is an integer, or, with `attested`, drawn from the
    operating system. `files` are what the script consists of: its own file by default. `again` replaces the record
    of the same script, settings and seed, by that of a failed attempt too. Every step has `batch_size` examples, but
    for the last of an epoch; it is one of the settings.
    """
    if (samples is None) == (epochs is None):
        raise TypeError("give the budget as samples or as epochs")
    if seed is not None and attested:
        raise TypeError("an attested seed is drawn by the operating system: leave out seed, or attested")
    if direction not in ("higher", "lower"):
        raise ValueError(f"direction is {direction!r}; a metric improves as it gets \"higher\" or \"lower\"")
    if not math.isfinite(target):
        raise ValueError(f"target is {target}, which is no number to reach")
    examples = _whole("examples", examples, 1, 32)
    if epochs is not None:
        if not 0 < epochs < math.inf:
            raise ValueError(f"epochs is {epochs}, but a budget is more than nothing and comes to an end")
        samples = max(1, round(epochs * examples))
    samples = _whole("samples", samples, 1, 64)
    evaluate_every = None if evaluate_every is None else _whole("evaluate_every", evaluate_every, 1, 64)
    seed = None if seed is None else _whole("seed", seed, 0, 64)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, but a step has at least one example")
    said = (settings or {}).get("batch_size", batch_size)
    if said != batch_size:
        raise ValueError(f"settings say batch_size {said}, but batch_size is {batch_size}; leave it out of settings")
    paths = [os.path.abspath(path) for path in (files or [_script()])]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    settings = {"batch_size": batch_size, **(settings or {})}
    options: List[str] = [f"--workload={workload}", f"--metric={metric}", f"--target={target}"]
    options += ["--direction", direction, "--examples", str(examples), "--samples", str(samples)]
    options += ["--settings", json.dumps(settings, allow_nan=False), "--folder", folder]
    for path in paths:
        options += ["--file", os.path.relpath(path, folder)]
    given = {"--evaluate-every": evaluate_every, "--seed": seed, "--arm": arm or None, "--store": store}
    given.update({"--data": data or None, "--target-origin": target_origin or None})
    for name, value in given.items():
        if value is not None:
            options.append(f"{name}={os.fspath(value) if name == '--store' else value}")
    options += ["--attested"] * attested + ["--again"] * again
    command = [sys.executable, os.path.basename(sys.argv[0] if sys.argv else ""), *sys.argv[1:]]
    connection = Recorder([program, "record", *options, "--", *command])
    try:
        named = {"python": platform.python_version(), **(versions or {})}
        connection.say("hello", protocol=VERSION, versions=named, device=device, takes=list(settings))
        return Record(connection, connection.expect("begin"), batch_size)
    except BaseException:
        connection.close()
        raise
