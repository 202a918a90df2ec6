"""A training program in one function.

    import palimpsest

    @palimpsest.method(lr=0.1, batch_size=32)
    def train(task, lr, batch_size):
        model = build(task.shape, task.classes, seed=task.seed)
        task.predict = model.outputs
        for ids, inputs, labels in task.batches(batch_size):
            task.loss = model.step(inputs, labels, lr)

    train()

The bench has the order, the clock and the labels that it judges by: it asks for outputs when they are due. On a
workload `external` data and evaluation are the program's own:

    @palimpsest.method(lr=0.1, batch_size=32)
    def train(task, lr, batch_size):
        task.evaluate = lambda split: score(model)
        for ids in task.ids(batch_size):
            step(model, data[ids], lr)
"""

from __future__ import annotations

import functools
import inspect
import math
import platform
import signal
import sys
import threading
import traceback
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from . import npy
from .protocol import VERSION, Connection, Refused

#: Held-out inputs that `predict` sees at once.
CHUNK = 1000


class Plain:
    """Arrays of the standard library: rows are flat views of numbers, labels whole numbers."""

    def versions(self) -> Dict[str, str]:
        """Versions of what it uses."""
        return {}

    def load(self, path: str) -> Any:
        """The array in a file."""
        return npy.Array(path)

    def take(self, values: Any, ids: Any) -> Any:
        """The rows of these examples."""
        return npy.take(values, ids)

    def save(self, path: str, parts: Sequence[Any], classes: int) -> None:
        """Writes outputs, which come in parts."""
        npy.write_table(path, (row for part in parts for row in part), classes)


class Task:
    """What is to be learnt, and the way through it."""

    #: The metric's value on a split ("validation", or "test" where the suite says `test: true`); must be set before
    #: the first batch where the data are the program's own.
    evaluate: Optional[Callable[[str], float]] = None

    def __init__(self, connection: Connection, begin: Dict[str, Any], arrays: Any) -> None:
        self._connection, self._arrays, self._folder = connection, arrays, begin["folder"]
        #: The workload's id; where data and evaluation are the program's own, the suite's name for it.
        self.workload: str = begin["workload"]
        #: Whether data and evaluation are the program's own.
        self.own: bool = begin.get("own", False)
        #: The metric that the target is set on.
        self.metric: str = begin["metric"]
        #: Shape of one input; empty where the data are the program's own.
        self.shape: Tuple[int, ...] = tuple(begin["shape"])
        #: Number of classes: outputs have a column for each.
        self.classes: int = begin["classes"]
        #: Number of training examples.
        self.examples: int = begin["examples"]["train"]
        #: Samples to train on.
        self.budget: int = begin["budget"]
        #: The arm's settings.
        self.settings: Dict[str, Any] = begin["settings"]
        #: For the program's own generators.
        self.seed: int = begin["seed"]
        #: Threads to compute with.
        self.threads: int = begin["threads"]
        #: Outputs for inputs, a row each; must be set before the first batch where the bench has the data.
        self.predict: Optional[Callable[[Any], Any]] = None
        #: Writes the model to a path, where it is set and the suite keeps models.
        self.save: Optional[Callable[[str], Any]] = None
        #: Write all that steps change (weights, optimiser, generators) to a path, and read it back; with both set, a run
        #: goes on where it was kept after its process was lost, where the suite says `checkpoint_every`.
        self.keep: Optional[Callable[[str], Any]] = None
        self.restore: Optional[Callable[[str], Any]] = None
        #: Loss of the last step, where the program tells it.
        self.loss: Optional[float] = None
        #: Number of trainable values.
        self.parameters: int = 0
        #: What a reader of the record should know.
        self.facts: Dict[str, Any] = {}
        #: Samples consumed so far.
        self.samples: int = 0
        #: Steps taken so far.
        self.steps: int = 0
        #: The epoch, from 0.
        self.epoch: int = 0
        #: All training inputs and labels, from the first batch on.
        self.inputs: Any = None
        self.labels: Any = None
        self._kept: bool = begin.get("kept", False)
        self._pending: Optional[Tuple[str, Dict[str, Any]]] = None
        self._trained = False
        # The stretch of the order that is trained on: its file, its ids, where it is, when it is over.
        self._named, self._order = "", None
        self._at = self._until = self._to = 0
        self._told: List[List[int]] = []
        self._open = 0
        #: The split of an evaluation that was asked for and is still to be told.
        self._asked = ""

    @property
    def progress(self) -> float:
        """Share of the budget that is consumed, for schedules."""
        return self.samples / self.budget

    def total_steps(self, batch_size: int) -> int:
        """Steps of the whole run."""
        whole, rest = divmod(self.budget, self.examples)
        return whole * math.ceil(self.examples / batch_size) + math.ceil(rest / batch_size)

    def batches(self, batch_size: int) -> Iterator[Tuple[Any, Any, Any]]:
        """Ids, inputs and labels of each step, in the bench's order; evaluations happen in between."""
        if self.own:
            raise RuntimeError("the data are this program's own: loop over task.ids(batch_size)")
        for ids in self.ids(batch_size):
            yield ids, self._arrays.take(self.inputs, ids), self._arrays.take(self.labels, ids)

    def ids(self, batch_size: int) -> Iterator[Any]:
        """The ids of each step, for programs that index the data themselves."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but a step has at least one example")
        name = "evaluate" if self.own else "predict"
        if getattr(self, name) is None:
            raise RuntimeError(f"set task.{name} before the first batch: the bench looks before it trains")
        yield from self._batches(batch_size)

    def _batches(self, batch_size: int) -> Iterator[Any]:
        if self._trained:
            raise RuntimeError("the run has one pass through its batches; loop over them once")
        self._trained = True
        if (self.keep is None) != (self.restore is None):
            raise RuntimeError("set task.keep and task.restore, or neither: what is kept has to be read, too")
        self._start()
        while self._listen() and not self._asked:
            while self._at < self._until:
                end = min(self._at + batch_size, self._to)
                self._open = end - self._at
                yield self._order[self._at : end]
                self._book()

    def _start(self) -> None:
        ready: Dict[str, Any] = {"parameters": self.parameters}
        if self._kept and self.keep is not None:
            ready["keeps"] = True
            leave_ending_to_the_bench()
        self._connection.say("ready", **ready)

    def _listen(self) -> bool:
        """Answers until there is something to train on; false when the run is over."""
        while self._at >= self._until and self._pending is None and not self._asked:
            kind, content = self._connection.hear()
            if kind == "evaluate":
                self._outputs(content)
            elif kind == "metrics":
                self._metrics(content["split"])
            elif kind == "data":
                self.inputs, self.labels = self._load(content["inputs"]), self._load(content["labels"])
                self._connection.say("loaded")
            elif kind == "train":
                if self._named != content["order"]:
                    self._named, self._order = content["order"], self._load(content["order"])
                self.epoch = content["epoch"]
                self._at, self._until, self._to = content["from"], content["until"], content["to"]
            elif kind == "keep":
                self._keep_in(f"{self._folder}/{content['file']}")
            elif kind == "restore":
                self._restore_from(content)
            else:
                self._pending = (kind, content)
        return self._pending is None

    def _keep_in(self, path: str) -> None:
        assert self.keep is not None
        try:
            self.keep(path)
        except OSError as problem:
            # A full disk, say: the run goes on, and the bench asks again.
            self._connection.say("kept", reason=str(problem))
        else:
            self._connection.say("kept")

    def _restore_from(self, content: Dict[str, Any]) -> None:
        assert self.restore is not None
        self.epoch, self.samples, self.steps = content["epoch"], content["samples"], content["steps"]
        self.restore(f"{self._folder}/{content['file']}")
        self._connection.say("restored")

    def _load(self, name: str) -> Any:
        return self._arrays.load(f"{self._folder}/{name}")

    def _book(self) -> None:
        """Takes the batch that was given out as consumed, and tells the stretch that it ends."""
        size, self._open = self._open, 0
        if not size:
            return
        self._at += size
        self.samples += size
        self.steps += 1
        if self._told and self._told[-1][0] == size:
            self._told[-1][1] += 1
        else:
            self._told.append([size, 1])
        if self._at < self._until:
            return
        told: Dict[str, Any] = {"steps": self._told}
        if self.loss is not None:
            loss = float(self.loss)
            told.update({"loss": loss} if math.isfinite(loss) else {"diverged": True})
        self._told = []
        self._connection.say("consumed", **told)

    def _metrics(self, split: str) -> None:
        assert self.evaluate is not None
        self._say_metric(self.evaluate(split))

    def _say_metric(self, value: Any) -> None:
        value = float(value)
        told = {self.metric: value if math.isfinite(value) else None}
        self._connection.say("metrics", **told)

    def _outputs(self, content: Dict[str, Any]) -> None:
        inputs, rows = self._load(content["inputs"]), content["rows"]
        assert self.predict is not None
        parts = [self.predict(inputs[at : min(at + CHUNK, rows)]) for at in range(0, rows, CHUNK)]
        file = f"{content['split']}-outputs.npy"
        self._arrays.save(f"{self._folder}/{file}", parts, self.classes)
        self._connection.say("outputs", file=file)

    def _finish(self) -> None:
        """Answers what is asked after the last step."""
        if self._pending is None:
            raise RuntimeError("the function ended before its batches did; loop to the end of task.batches")
        while self._pending is not None:
            kind, content = self._pending
            if kind == "facts":
                self._connection.say("facts", **self.facts)
            elif kind == "save":
                if self.save is not None:
                    self.save(f"{self._folder}/{content['file']}")
                self._connection.say("saved")
            elif kind == "end":
                self._connection.say("bye")
                return
            else:
                raise Refused(f"the bench said `{kind}` at the end")
            self._pending = self._connection.hear()


def leave_ending_to_the_bench() -> None:
    """Passes over SIGTERM, which schedulers send to every process of a job: the bench, which gets it, too, has the run kept
    behind its step and then ends this process. Where a program answers the signal itself, or runs in a thread, that stays."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Method:
    """A training function with its settings; calling it runs the program."""

    def __init__(self, function: Callable[..., Any], defaults: Dict[str, Any], arrays: Any) -> None:
        functools.update_wrapper(self, function)
        self.function, self.defaults, self._arrays = function, defaults, arrays
        names = list(inspect.signature(function).parameters)
        unknown = [name for name in defaults if name not in names[1:]]
        if unknown:
            raise TypeError(f"{function.__name__} has no parameter {unknown[0]!r} for the setting of that name")
        #: Names of the settings that it reads.
        self.takes = names[1:]
        #: Versions of what the program uses, by name, for the record.
        self.versions: Dict[str, str] = {"python": platform.python_version(), **arrays.versions()}
        #: What it computes on, for the record; a program on a GPU waits for it before each next batch.
        self.device: Optional[str] = None

    def __call__(self, socket: str = "") -> None:
        """Runs the program with the bench that started it."""
        connection = Connection(socket)
        try:
            who = {"versions": self.versions, "device": self.device, "takes": self.takes}
            connection.say("hello", protocol=VERSION, **who)
            task = Task(connection, connection.expect("begin"), self._arrays)
            given = {name: task.settings[name] for name in self.takes if name in task.settings}
            self.function(task, **{**self.defaults, **given})
            task._finish()
        except Refused as refused:
            print(f"palimpsest: {refused}", file=sys.stderr)
            sys.exit(1)
        except Exception as problem:
            traceback.print_exc()
            try:
                connection.say("error", reason=f"{type(problem).__name__}: {problem}")
            except OSError:
                pass
            sys.exit(1)
        finally:
            connection.close()


def method(**defaults: Any) -> Callable[[Callable[..., Any]], Method]:
    """Makes a program of a training function; `defaults` are its settings where the suite gives none."""
    return lambda function: Method(function, defaults, Plain())
