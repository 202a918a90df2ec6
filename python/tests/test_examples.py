"""The examples of arms, each against a bench that is a thread; those whose packages are installed."""

import contextlib
import importlib.util
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

import palimpsest
import test_task
from palimpsest import npy

SOURCES = pathlib.Path(palimpsest.__file__).resolve().parents[1]
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "external"
#: Steps of two of five examples, looked at from the third on, and at the end of an epoch and a rest.
HEARD = ["hello", "ready", "outputs", "loaded", "consumed", "outputs", "consumed", "consumed", "outputs",
         "facts", "saved", "bye"]
#: What is told of these steps: the end of the epoch is one that is short.
STEPS = [[[2, 2]], [[1, 1]], [[2, 1]]]


def installed(*names):
    missing = [name for name in names if not importlib.util.find_spec(name)]
    return unittest.skipIf(missing, f"{' and '.join(missing)} not installed")


def program(name):
    """The method of an example."""
    place = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module.train


class Noted(list):
    """What a bench heard, each message with what `note` said then."""

    def __init__(self, note):
        super().__init__()
        self.note, self.steps = note, []

    def append(self, message):
        ((kind, content),) = message.items()
        if kind == "consumed":
            self.steps.append(content["steps"])
        super().append((kind, self.note()))


def heard_by_a_bench(start, note, shape=(2,)):
    """What a program said that `start` runs with a path of a socket, inputs being of this shape."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        bench = test_task.Bench(folder)
        messages = bench.messages()
        messages[0]["begin"].update(settings={"batch_size": 2}, shape=list(shape))
        if shape != (2,):
            numbers = [k % 7 / 7 for k in range(5 * 16)]
            for name, rows in (("x", 5), ("v", 2)):
                test_task.write(f"{folder}/{name}.npy", "<f4", "f", (rows, *shape), numbers[: rows * 16])
        bench.heard = Noted(lambda: note(folder))
        thread = threading.Thread(target=bench.serve, args=(messages,))
        thread.start()
        try:
            start(bench.path)
        finally:
            thread.join()
            bench.listener.close()
    return bench.heard


class Examples(unittest.TestCase):
    def looks(self, name, shape=(2,)):
        """How many steps an optimiser had taken at each message of an example."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        taken = []
        hook = register_optimizer_step_post_hook(lambda *_: taken.append(1))
        try:
            heard = heard_by_a_bench(program(name), lambda _: len(taken), shape)
        finally:
            hook.remove()
        self.assertEqual([kind for kind, _ in heard], HEARD)
        self.assertEqual([steps for _, steps in heard], [0, 0, 0, 0, 2, 2, 3, 4, 4, 4, 4, 4])
        self.assertEqual(heard.steps, STEPS)

    @installed("numpy", "torch")
    def test_the_bench_looks_between_steps_of_pytorch(self):
        self.looks("cnn_torch", (1, 4, 4))

    @installed("numpy", "torch", "transformers", "accelerate")
    def test_the_bench_looks_between_steps_of_the_trainer(self):
        self.looks("trainer")

    @installed("numpy", "torch", "lightning")
    def test_the_bench_looks_between_steps_of_lightning(self):
        self.looks("lit")

    @installed("numpy", "jax")
    def test_jax_trains(self):
        heard = heard_by_a_bench(program("mlp_jax"), lambda _: None)
        self.assertEqual([kind for kind, _ in heard], HEARD)
        self.assertEqual(heard.steps, STEPS)

    @installed("numpy", "torch")
    def test_the_page_of_one_s_own_script_runs(self):
        page = (EXAMPLES.parents[1] / "docs" / "your_own.md").read_text()
        table, script = re.findall(r"```python\n(.*?)```", page, re.DOTALL)

        def start(path):
            with tempfile.TemporaryDirectory() as folder:
                place = {**os.environ, "PALIMPSEST_SOCKET": path, "PYTHONPATH": str(SOURCES)}
                for text in (table, script):
                    run = [sys.executable, "-W", "ignore", "-c", text]
                    subprocess.run(run, cwd=folder, env=place, check=True, timeout=300)
                lines = pathlib.Path(folder, "trees.csv").read_text().splitlines()
                self.assertEqual((len(lines), lines[0]), (1601, "height,girth,leaf,bark,plot,species"))

        heard = heard_by_a_bench(start, lambda _: None)
        self.assertEqual([kind for kind, _ in heard], HEARD)

    @unittest.skipUnless(shutil.which("nc") and shutil.which("sh"), "nc is not installed")
    def test_a_shell_script_gives_the_nearest_mean(self):
        def start(path):
            with tempfile.TemporaryDirectory() as folder:
                arguments, place = ["sh", EXAMPLES / "nearest_mean.sh"], {**os.environ, "PALIMPSEST_SOCKET": path}
                subprocess.run(arguments, cwd=folder, env=place, check=True, timeout=60)

        def note(folder):
            path = pathlib.Path(folder, "validation-outputs.npy")
            return [list(row) for row in npy.Array(str(path))] if path.exists() else None

        heard = heard_by_a_bench(start, note)
        self.assertEqual([kind for kind, _ in heard], HEARD)
        self.assertEqual(heard.steps, STEPS)
        told = [rows for kind, rows in heard if kind == "outputs"]
        # Means of examples 4, 2, 0 and 1 are (0, 1), (5, 6) and (4, 5); (1, 2) and (3, 4) are looked at.
        self.assertEqual(told[:2], [[[0, 0, 0], [0, 0, 0]], [[4, 0, 0], [0, 0, 4]]])


if __name__ == "__main__":
    unittest.main()
