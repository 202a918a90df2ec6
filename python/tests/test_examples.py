"""The examples of loops that belong to somebody else: the bench must look between two of their steps."""

import contextlib
import importlib.util
import io
import pathlib
import tempfile
import threading
import unittest

import test_task

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "external"


def installed(*names):
    return all(importlib.util.find_spec(name) for name in names)


def example(name):
    place = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module


class Loops(unittest.TestCase):
    def looks(self, name):
        """What the bench heard, and how many steps an optimiser had taken then."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        program, taken, seen = example(name).train, [], []
        hook = register_optimizer_step_post_hook(lambda *_: taken.append(1))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            bench = test_task.Bench(folder)

            class Noted(list):
                def append(self, message):
                    seen.append((next(iter(message)), len(taken)))

            bench.heard = Noted()
            messages = bench.messages()
            messages[0]["begin"]["settings"] = {"batch_size": 2}
            thread = threading.Thread(target=bench.serve, args=(messages,))
            thread.start()
            try:
                program(bench.path)
            finally:
                thread.join()
                bench.listener.close()
                hook.remove()
        return [(kind, steps) for kind, steps in seen if kind in ("outputs", "consumed", "bye")]

    def check(self, name):
        # Steps of two of five examples, looked at from the third on, and at the end of an epoch and a rest.
        due = [("outputs", 0), ("consumed", 2), ("outputs", 2), ("consumed", 3), ("consumed", 4), ("outputs", 4), ("bye", 4)]
        self.assertEqual(self.looks(name), due)

    @unittest.skipUnless(installed("torch", "transformers", "accelerate", "numpy"), "transformers is not installed")
    def test_the_bench_looks_between_steps_of_the_trainer(self):
        self.check("trainer")

    @unittest.skipUnless(installed("torch", "lightning", "numpy"), "Lightning is not installed")
    def test_the_bench_looks_between_steps_of_lightning(self):
        self.check("lit")


if __name__ == "__main__":
    unittest.main()
