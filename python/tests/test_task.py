"""A program against a bench that is a thread: what it says, in which turn."""

import contextlib
import io
import json
import os
import pathlib
import signal
import socket
import struct
import tempfile
import threading
import unittest

import palimpsest
from palimpsest import npy

try:
    import numpy
except ImportError:
    numpy = None

BEGIN = {
    "protocol": 1, "workload": "w", "shape": [2], "classes": 3, "budget": 7, "evaluate_every": 3,
    "examples": {"train": 5, "validation": 2, "test": 2}, "metric": "m", "settings": {"lr": 0.5}, "seed": 9,
    "threads": 1,
}
ORDERS = [[4, 2, 0, 1, 3], [1, 0]]


def write(path, descr, letter, shape, values):
    with open(path, "wb") as file:
        file.write(npy.header(descr, shape))
        file.write(struct.pack(f"<{len(values)}{letter}", *values))


class Bench:
    """The other end of a program: says a list of messages, one for each that it hears."""

    def __init__(self, folder):
        self.folder, self.heard = pathlib.Path(folder), []
        self.path = str(self.folder / "socket")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        write(self.folder / "x.npy", "<f4", "f", (5, 2), [float(k) for k in range(10)])
        write(self.folder / "y.npy", "<i8", "q", (5,), [0, 1, 2, 0, 1])
        write(self.folder / "v.npy", "<f4", "f", (2, 2), [1.0, 2.0, 3.0, 4.0])
        for number, ids in enumerate(ORDERS):
            write(self.folder / f"order-{number}.npy", "<u4", "I", (len(ids),), ids)

    def messages(self):
        begin = {"begin": {**BEGIN, "folder": str(self.folder)}}
        look = {"evaluate": {"split": "validation", "inputs": "v.npy", "rows": 2}}
        data = {"data": {"inputs": "x.npy", "labels": "y.npy"}}

        def train(epoch, start, to, until):
            order = f"order-{epoch}.npy"
            return {"train": {"epoch": epoch, "order": order, "from": start, "to": to, "until": until, "epochs": 2}}

        stretches = [train(0, 0, 5, 3), look, train(0, 4, 5, 5), train(1, 0, 2, 1), look]
        return [begin, look, data, *stretches, {"facts": {}}, {"save": {"file": "saved"}}, {"end": {}}]

    def serve(self, messages):
        connection, _ = self.listener.accept()
        # A program that gives up closes its end.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), connection, connection.makefile("rw") as file:
            for message in messages:
                line = file.readline()
                if not line:
                    return
                self.heard.append(json.loads(line))
                file.write(json.dumps(message) + "\n")
                file.flush()
            last = file.readline()
            if last:
                self.heard.append(json.loads(last))


def run(program, change=lambda messages: messages):
    """What a program said to a bench, its exit status and what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(folder)
        thread = threading.Thread(target=bench.serve, args=(change(bench.messages()),))
        thread.start()
        status, printed = 0, io.StringIO()
        try:
            with contextlib.redirect_stderr(printed):
                program(bench.path)
        except SystemExit as end:
            status = end.code
        thread.join()
        bench.listener.close()
        saved = (bench.folder / "saved").exists()
    return bench.heard, status, printed.getvalue(), saved


class Programs(unittest.TestCase):
    def test_a_function_is_a_program(self):
        seen = []

        @palimpsest.method(lr=0.1, width=4)
        def train(task, lr, width):
            self.assertEqual((lr, width, task.seed, task.total_steps(2)), (0.5, 4, 9, 4))
            task.parameters = 12
            task.predict = lambda inputs: [[row[0], row[1], 0.0] for row in inputs]
            for ids, inputs, labels in task.batches(2):
                seen.append((list(ids), [list(row) for row in inputs], list(labels)))
                task.loss = 1.0 / len(seen)
            self.assertEqual((task.steps, task.samples, task.epoch, task.progress), (4, 7, 1, 1.0))
            task.facts["kind"] = "flat"
            task.save = lambda path: pathlib.Path(path).write_text("model")

        train.versions["solver"], train.device = "2", "abacus"
        heard, status, _, saved = run(train)
        self.assertEqual(status, 0)
        kinds = [next(iter(message)) for message in heard]
        self.assertEqual(
            kinds,
            ["hello", "ready", "outputs", "loaded", "consumed", "outputs", "consumed", "consumed", "outputs",
             "facts", "saved", "bye"],
        )
        self.assertEqual(heard[0]["hello"]["takes"], ["lr", "width"])
        self.assertEqual((heard[0]["hello"]["versions"]["solver"], heard[0]["hello"]["device"]), ("2", "abacus"))
        self.assertEqual(heard[1]["ready"], {"parameters": 12})
        told = [message["consumed"] for message in heard if "consumed" in message]
        self.assertEqual([one["steps"] for one in told], [[[2, 2]], [[1, 1]], [[2, 1]]])
        self.assertEqual(told[0]["loss"], 0.5)
        self.assertEqual([ids for ids, _, _ in seen], [[4, 2], [0, 1], [3], [1, 0]])
        self.assertEqual(seen[0][1:], ([[8.0, 9.0], [4.0, 5.0]], [1, 2]))
        self.assertEqual(heard[-3]["facts"], {"kind": "flat"})
        self.assertTrue(saved)

    def test_a_program_with_data_of_its_own_gets_ids_and_tells_its_metric(self):
        def own(messages):
            begin = {**BEGIN, "folder": messages[0]["begin"]["folder"], "own": True, "shape": [], "classes": 0}
            look = {"metrics": {"split": "validation"}}
            turned = [look if "evaluate" in message else message for message in messages[1:] if "data" not in message]
            return [{"begin": begin}, *turned]

        seen, values = [], iter([0.5, float("inf"), 1])

        @palimpsest.method(lr=0.1)
        def train(task, lr):
            self.assertEqual((task.own, task.metric, task.shape, task.classes), (True, "m", (), 0))
            with self.assertRaisesRegex(RuntimeError, "task.ids"):
                next(task.batches(2))
            with self.assertRaisesRegex(RuntimeError, "set task.evaluate"):
                next(task.ids(2))
            task.evaluate = lambda split: next(values)
            for ids in task.ids(2):
                seen.append(list(ids))

        heard, status, printed, _ = run(train, own)
        self.assertEqual(status, 0, printed)
        self.assertEqual(seen, [[4, 2], [0, 1], [3], [1, 0]])
        told = [message["metrics"] for message in heard if "metrics" in message]
        self.assertEqual(told, [{"m": 0.5}, {"m": None}, {"m": 1.0}])
        self.assertNotIn("loaded", [next(iter(message)) for message in heard])

    def sums(self, taken, **others):
        """A program whose state is the sum of the ids that it was given."""

        @palimpsest.method()
        def train(task):
            total = [0]

            def keep(path):
                pathlib.Path(path).write_text(str(total[0]))
                taken.append(total[0])

            def restore(path):
                total[0] = int(pathlib.Path(path).read_text())
                taken.append((task.samples, task.steps, task.epoch))

            task.predict = lambda inputs: [[0.0] * 3 for _ in inputs]
            task.keep, task.restore = keep, restore
            for name, value in others.items():
                setattr(task, name, value)
            for ids in task.ids(2):
                taken.append(list(ids))
                total[0] += sum(ids)
            task.facts["total"] = total[0]

        self.addCleanup(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
        return train

    def test_a_program_is_kept_and_another_goes_on_where_it_was(self):
        def kept(messages):
            messages[0]["begin"]["kept"] = True
            return [*messages[:4], {"keep": {"file": "kept"}}, {"error": {"reason": "stopped"}}]

        def goes_on(messages):
            begin, look, data, _, _, *rest = messages
            begin["begin"]["kept"] = True
            (pathlib.Path(begin["begin"]["folder"]) / "kept").write_text("7")
            restore = {"restore": {"file": "kept", "epoch": 0, "samples": 4, "steps": 2}}
            return [begin, data, restore, *rest]

        taken = []
        heard, status, printed, _ = run(self.sums(taken), kept)
        self.assertEqual((status, printed), (1, "palimpsest: stopped\n"))
        self.assertEqual(heard[1]["ready"], {"parameters": 0, "keeps": True})
        self.assertEqual(heard[-1], {"kept": {}})
        # Schedulers ask every process of a job to end; this one leaves that to the bench.
        self.assertEqual(signal.getsignal(signal.SIGTERM), signal.SIG_IGN)
        heard, status, printed, _ = run(self.sums(taken), goes_on)
        self.assertEqual(status, 0, printed)
        self.assertEqual(taken, [[4, 2], [0, 1], 7, (4, 2, 0), [3], [1, 0]])
        self.assertEqual([message["facts"] for message in heard if "facts" in message], [{"total": 11}])

    def test_a_state_that_cannot_be_written_is_told_and_the_run_goes_on(self):
        def full(path):
            raise OSError(28, "No space left on device")

        def kept(messages):
            messages[0]["begin"]["kept"] = True
            return [*messages[:4], {"keep": {"file": "kept"}}, *messages[4:]]

        heard, status, printed, _ = run(self.sums([], keep=full), kept)
        self.assertEqual(status, 0, printed)
        self.assertIn({"kept": {"reason": "[Errno 28] No space left on device"}}, heard)

    def test_a_program_keeps_where_the_bench_does_and_restores_what_it_keeps(self):
        heard, status, _, _ = run(self.sums([]))
        self.assertEqual((status, heard[1]["ready"]), (0, {"parameters": 0}))
        self.assertNotEqual(signal.getsignal(signal.SIGTERM), signal.SIG_IGN)
        heard, status, _, _ = run(self.sums([], restore=None))
        self.assertEqual(status, 1)
        self.assertIn("task.restore, or neither", heard[-1]["error"]["reason"])

    def test_a_loss_that_is_no_number_is_told_as_such(self):
        @palimpsest.method()
        def train(task):
            task.predict = lambda inputs: [[0.0] * 3 for _ in inputs]
            for _ in task.batches(2):
                task.loss = float("nan")

        heard, status, _, _ = run(train)
        self.assertEqual(status, 0)
        self.assertEqual(heard[4]["consumed"], {"steps": [[2, 2]], "diverged": True})

    def test_a_function_that_fails_or_stops_early_tells_the_bench_why(self):
        @palimpsest.method()
        def fails(task):
            raise ZeroDivisionError("by hand")

        @palimpsest.method()
        def stops(task):
            task.predict = lambda inputs: [[0.0] * 3 for _ in inputs]
            for _ in task.batches(2):
                break

        @palimpsest.method()
        def blind(task):
            for _ in task.batches(2):
                pass

        for program, reason in [(fails, "ZeroDivisionError: by hand"), (stops, "ended before"), (blind, "predict")]:
            heard, status, _, _ = run(program)
            self.assertEqual(status, 1)
            self.assertIn(reason, heard[-1]["error"]["reason"])

    def test_what_the_bench_refuses_is_shown(self):
        @palimpsest.method()
        def train(task):
            raise AssertionError("not reached")

        _, status, printed, _ = run(train, lambda _: [{"error": {"reason": "no such thing"}}])
        self.assertEqual((status, printed), (1, "palimpsest: no such thing\n"))

    def test_settings_are_parameters(self):
        with self.assertRaises(TypeError):
            palimpsest.method(lr=0.1)(lambda task: None)

    def test_without_a_bench_there_is_a_sentence(self):
        os.environ.pop("PALIMPSEST_SOCKET", None)
        with self.assertRaisesRegex(palimpsest.Refused, "PALIMPSEST_SOCKET is not set"):
            palimpsest.protocol.Connection()

    @unittest.skipIf(numpy is None, "NumPy is not installed")
    def test_numpy_gets_arrays(self):
        from palimpsest.numpy import method

        seen = []

        @method(lr=0.1)
        def train(task, lr):
            task.predict = lambda inputs: numpy.zeros((len(inputs), 3))
            for ids, inputs, labels in task.batches(2):
                seen.append((ids.tolist(), inputs.tolist(), labels.tolist()))

        heard, status, printed, _ = run(train)
        self.assertEqual(status, 0, printed)
        self.assertIn("numpy", heard[0]["hello"]["versions"])
        self.assertEqual(seen[0], ([4, 2], [[8.0, 9.0], [4.0, 5.0]], [1, 2]))


class Files(unittest.TestCase):
    def test_tables_are_read_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/t.npy"
            npy.write_table(path, [[1.5, 2.0], [3.0, 4.0], [5.0, 6.0]], 2)
            table = npy.Array(path)
            self.assertEqual(table.shape, (3, 2))
            self.assertEqual([list(row) for row in table[1:]], [[3.0, 4.0], [5.0, 6.0]])
            self.assertEqual(os.path.getsize(path) - 3 * 2 * 4, 128)
            with self.assertRaises(IndexError):
                table[3]
            with self.assertRaisesRegex(ValueError, "row 0 has 1 numbers"):
                npy.write_table(path, [[1.0]], 2)


if __name__ == "__main__":
    unittest.main()
