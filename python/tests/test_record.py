"""Scripts that run by themselves, against a recorder that is a program of this file."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import palimpsest
from palimpsest import npy

EXAMPLES, SAMPLES, EVERY = 5, 7, 4
ORDERS = [[4, 2, 0, 1, 3], [1, 0]]

# Speaks as `palimpsest record` does: a look, stretches of an order, a look where the grid has one, the end.
FAKE = '''
import json, os, sys
folder, case = FOLDER, os.environ.get("FAKE_CASE", "")
heard = []
def hear():
    line = sys.stdin.readline()
    if not line:
        end("failed")
    ((kind, content),) = json.loads(line).items()
    heard.append(kind)
    if kind == "error":
        say(error={"reason": "it gave up: " + content["reason"]})
        end("failed", content["reason"])
    return content
def say(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def end(status, error=None):
    with open(folder + "/heard", "w") as file:
        json.dump({"heard": heard, "argv": sys.argv, "error": error}, file)
    try:
        say(recorded={"run": "0123", "status": status, "error": error, "store": "runs"})
    except OSError:
        pass
    sys.exit(0)
def ask(**message):
    say(**message)
    return hear()
if case == "refuses":
    say(error={"reason": "run 0123 is in runs already"})
    sys.exit(2)
hello = hear()
begin = {"protocol": 1, "workload": "t", "own": True, "shape": [], "classes": 0, "budget": 7, "evaluate_every": 4,
         "examples": {"train": 5, "validation": 0, "test": 0}, "metric": "score",
         "settings": {name: 1 for name in hello["takes"]}, "seed": 9, "threads": 1, "folder": folder}
ask(begin=begin)
values = [ask(metrics={"split": "validation"})["score"]]
if case == "dies":
    os._exit(3)
stretches = [(0, 0, 5, 4, True), (0, 4, 5, 5, False), (1, 0, 2, 2, True)]
for epoch, start, to, until, look in stretches:
    told = ask(train={"epoch": epoch, "order": f"order-{epoch}.npy", "from": start, "to": to, "until": until, "epochs": 2})
    if look:
        values.append(ask(metrics={"split": "validation"})["score"])
    if values[-1] is None:
        break
ask(facts={})
ask(end={})
end("diverged" if values[-1] is None else "censored")
'''


class Records(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.folder = pathlib.Path(place.name)
        for number, ids in enumerate(ORDERS):
            (self.folder / f"order-{number}.npy").write_bytes(
                npy.header("<u4", (len(ids),)) + b"".join(k.to_bytes(4, "little") for k in ids)
            )
        fake = self.folder / "fake"
        fake.write_text(f"#!{sys.executable}\n" + FAKE.replace("FOLDER", repr(place.name)))
        fake.chmod(0o755)
        (self.folder / "train.py").write_text("")
        os.environ.pop("FAKE_CASE", None)

    def record(self, **more):
        given = {"workload": "t", "metric": "score", "target": 0.5, "examples": EXAMPLES, "batch_size": 2}
        given.update({"samples": SAMPLES, "evaluate_every": EVERY, "program": str(self.folder / "fake")})
        return palimpsest.record(**{**given, "files": [str(self.folder / "train.py")], **more})

    def heard(self):
        return json.loads((self.folder / "heard").read_text())

    def test_a_script_is_given_the_order_and_tells_when_an_evaluation_is_due(self):
        seen, due = [], []
        with self.record(seed=3, settings={"lr": 0.1}, store=self.folder) as run:
            run.evaluate(score=0.0)
            for ids in run.batches():
                seen.append(list(ids))
                run.loss = 0.5
                if run.due():
                    due.append(run.samples)
                    run.evaluate(score=run.samples / 10)
            run.facts["kind"] = "flat"
        self.assertEqual(seen, [[4, 2], [0, 1], [3], [1, 0]])
        self.assertEqual(due, [4, 7])
        self.assertEqual((run.id, run.status, run.store), ("0123", "censored", "runs"))
        heard = self.heard()
        self.assertEqual(
            heard["heard"],
            ["hello", "ready", "metrics", "consumed", "metrics", "consumed", "consumed", "metrics", "facts", "bye"],
        )
        argv = heard["argv"]
        for option in ["--target=0.5", "--seed=3", f"--store={self.folder}", "--evaluate-every=4"]:
            self.assertIn(option, argv)
        self.assertEqual(json.loads(argv[argv.index("--settings") + 1]), {"batch_size": 2, "lr": 0.1})
        self.assertEqual(argv[argv.index("--file") + 1], "train.py")
        self.assertEqual(argv[argv.index("--folder") + 1], str(self.folder))
        self.assertEqual(argv[argv.index("--") + 1], sys.executable)

    def test_the_last_evaluation_may_be_told_behind_the_loop(self):
        with self.record() as run:
            run.evaluate(score=0)
            for _ in run.batches():
                if run.samples < SAMPLES - 2 and run.due():
                    run.evaluate(score=0)
            run.evaluate(score=1)
        self.assertEqual(run.status, "censored")

    def test_a_script_that_never_evaluates_is_a_failed_run(self):
        with self.assertRaisesRegex(RuntimeError, "an evaluation is due at 0 samples"):
            with self.record() as run:
                for _ in run.batches():
                    pass
        self.assertEqual(run.status, "failed")
        with self.assertRaisesRegex(RuntimeError, "never told the evaluation that was due at 7 of 7 samples"):
            with self.record() as run:
                run.evaluate(score=0)
                for _ in run.batches():
                    if run.samples < SAMPLES - 2 and run.due():
                        run.evaluate(score=0)
        self.assertEqual(run.status, "failed")
        self.assertIn("never told the evaluation", self.heard()["error"])

    def test_what_ends_the_script_is_told(self):
        with self.assertRaises(ZeroDivisionError):
            with self.record() as run:
                run.evaluate(score=0)
                for _ in run.batches():
                    1 / 0
        self.assertEqual((run.status, self.heard()["error"]), ("failed", "ZeroDivisionError: division by zero"))
        # Behind a metric it is the recorder's turn, which is waited for.
        with self.assertRaises(KeyboardInterrupt):
            with self.record() as run:
                run.evaluate(score=0)
                raise KeyboardInterrupt
        self.assertEqual((run.status, self.heard()["error"]), ("failed", "KeyboardInterrupt: "))
        with self.assertRaisesRegex(RuntimeError, "let go of its batches at 2 of 7 samples"):
            with self.record() as run:
                run.evaluate(score=0)
                for _ in run.batches():
                    break

    def through(self, run):
        run.evaluate(score=0)
        for _ in run.batches():
            if run.due():
                run.evaluate(score=0)

    def test_what_cannot_be_told_at_the_end_is_a_failed_run_though_a_child_holds_the_pipe(self):
        with self.assertRaisesRegex(TypeError, "not JSON serializable"):
            with self.record() as run:
                pipe = run._recorder._process.stdin.fileno()
                child = subprocess.Popen(["sleep", "60"], pass_fds=[pipe])
                self.addCleanup(child.wait)
                self.addCleanup(child.kill)
                self.through(run)
                run.facts["model"] = object()
        self.assertEqual(run.status, "failed")
        self.assertIn("TypeError: Object of type object", self.heard()["error"])

    def test_a_script_that_is_interrupted_behind_its_run_knows_what_became_of_it(self):
        def interrupted():
            run._recorder.outcome = outcome
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            with self.record() as run:
                self.through(run)
                outcome, run._recorder.outcome = run._recorder.outcome, interrupted
        self.assertEqual((run.id, run.status, self.heard()["error"]), ("0123", "censored", None))

    def test_every_step_has_the_batch_size_that_is_recorded(self):
        for wrong in (64, -1):
            with self.assertRaisesRegex(ValueError, f"batch_size is {wrong} here, but 2 in what is recorded"):
                with self.record() as run:
                    run.batches(wrong)
        with self.record(settings={"batch_size": 2}) as run:
            run.evaluate(score=0)
            for ids in run.ids(2):
                self.assertLessEqual(len(ids), 2)
                if run.due():
                    run.evaluate(score=0)
        self.assertEqual(run.status, "censored")

    def test_a_metric_that_is_not_finite_ends_the_run(self):
        with self.record() as run:
            run.evaluate(score=0)
            for _ in run.batches():
                if run.due():
                    run.evaluate(score=float("nan"))
        self.assertEqual((run.status, run.samples), ("diverged", 4))

    def test_metrics_are_told_by_their_name_when_they_are_due(self):
        with self.assertRaisesRegex(TypeError, "this run tells score and nothing else, not loss"):
            with self.record() as run:
                run.evaluate(loss=0)
        with self.assertRaisesRegex(RuntimeError, "no evaluation is due at 2 samples"):
            with self.record() as run:
                run.evaluate(score=0)
                next(run.batches())
                run.evaluate(score=0)

    def test_a_recorder_that_refuses_dies_or_is_not_there_says_so(self):
        os.environ["FAKE_CASE"] = "refuses"
        with self.assertRaisesRegex(palimpsest.Refused, "run 0123 is in runs already"):
            self.record()
        os.environ["FAKE_CASE"] = "dies"
        with self.assertRaisesRegex(palimpsest.Refused, "palimpsest record is gone: it ended with status 3"):
            with self.record() as run:
                run.evaluate(score=0)
                list(run.batches())
        self.assertEqual(run.status, "")
        with self.assertRaisesRegex(palimpsest.Refused, "does not start .*; give its path as program="):
            self.record(program=str(self.folder / "none"))

    def test_what_cannot_be_is_refused_before_anything_starts(self):
        with self.assertRaisesRegex(TypeError, "as samples or as epochs"):
            self.record(epochs=2)
        with self.assertRaisesRegex(ValueError, "batch_size is 0"):
            self.record(batch_size=0)
        with self.assertRaisesRegex(ValueError, "settings say batch_size 64, but batch_size is 2"):
            self.record(settings={"batch_size": 64})
        with self.assertRaisesRegex(ValueError, "direction is 'up'"):
            self.record(direction="up")
        with self.assertRaisesRegex(TypeError, "leave out seed, or attested"):
            self.record(seed=1, attested=True)
        wrongs = [("examples", -1), ("examples", 1 << 32), ("samples", 0), ("evaluate_every", 0), ("seed", -1)]
        for name, wrong in wrongs:
            with self.assertRaisesRegex(ValueError, f"{name} is {wrong}; it lies from"):
                self.record(**{name: wrong})
        with self.assertRaisesRegex(TypeError, "examples is 5.5, which is no whole number"):
            self.record(examples=5.5)
        for name, wrong in (("target", float("nan")), ("epochs", -1)):
            with self.assertRaisesRegex(ValueError, f"{name} is {wrong}"):
                self.record(**{"samples": None if name == "epochs" else SAMPLES, name: wrong})
        self.assertFalse((self.folder / "heard").exists())


if __name__ == "__main__":
    unittest.main()
