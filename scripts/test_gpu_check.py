"""Tests of the GPU check.  Run: python3 scripts/test_gpu_check.py"""

import contextlib
import io
import json
import os
import pathlib
import stat
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gpu_check

# Leaves two runs in the store; what WRONG names is wrong in them: an order of the device, weights of the second run there, a run that failed.
PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, sys
words = dict(zip(sys.argv[3::2], sys.argv[4::2]))
store, device, wrong = pathlib.Path(words["--store"]), words["--device"], os.environ.get("WRONG", "")
if wrong == "nothing":
    sys.exit("no such suite")
for method in ["sgd", "muon"]:
    off = method == "muon"
    order = "b" if off and wrong in ("order", "adaptive") and store.name == "device" else "a"
    law = "adaptive" if off and wrong == "adaptive" else "uniform"
    weights = "2" if off and wrong == "weights" and store.name == "again" else "1"
    failed = off and wrong == "failed" and store.name == "again"
    environment = {{"device": device, "libtorch": "2.11.0", "palimpsest": "0.1.0", "git_commit": "abc", "git_dirty": False, "cpu": "a CPU"}}
    record = {{
        "workload": "blobs-cnn", "workload_settings": {{}}, "method": method, "settings": {{}}, "environment": environment, "steps": 4,
        "order": {{"law": law, "commitment": store.name}}, "parameters_sha256": None if failed else weights,
        "clocks": {{"train": 0.008}}, "status": "failed" if failed else "reached", "error": "it broke" if failed else None,
    }}
    if method == "muon" and wrong == "lost" and store.name == "device":
        continue
    folder = store / method
    folder.mkdir(parents=True)
    (folder / "order.bin").write_text(order)
    (folder / "record.json").write_text(json.dumps(record))
"""


class Check(unittest.TestCase):
    def run_it(self, wrong, *words):
        """The code that it ends with, what it prints, and the JSON file."""
        with tempfile.TemporaryDirectory() as folder:
            program, out = pathlib.Path(folder, "program"), pathlib.Path(folder, "out")
            program.write_text(PROGRAM)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            os.environ["WRONG"] = wrong
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                code = gpu_check.main([str(program), "--device", "cpu", "--out", str(out), *words])
            found = out / "gpu-check.json"
            return code, said.getvalue(), json.loads(found.read_text()) if found.is_file() else None

    def setUp(self):
        self.torch_steps, gpu_check.torch_steps = gpu_check.torch_steps, lambda device, left: {"blobs-cnn": {"eager": 4.0, "compiled": None}}

    def tearDown(self):
        gpu_check.torch_steps = self.torch_steps

    def test_runs_that_agree_pass_and_both_files_say_so(self):
        code, said, found = self.run_it("")
        self.assertEqual(code, 0, said)
        self.assertIn("whose order is that of the CPU: 2 of 2", said)
        self.assertIn("| `blobs-cnn` | cpu | 2 | 4 | – |", said)
        self.assertEqual([row["fine"] for row in found["again"]], [True, True])
        self.assertEqual(found["device"], "cpu")

    def test_another_order_other_weights_a_failed_and_a_lost_run_are_each_found(self):
        for wrong, where, status in [("order", "orders", "reached"), ("weights", "again", "reached"), ("failed", "again", "failed"), ("lost", "orders", "missing")]:
            code, said, found = self.run_it(wrong)
            self.assertEqual(code, 1, wrong)
            self.assertIn(f"**muon on blobs-cnn** ({where}): {status}", said, wrong)
            self.assertEqual([row["method"] for row in found[where] if not row["fine"]], ["muon"], wrong)

    def test_an_order_that_adapts_to_what_was_trained_may_differ_and_is_counted(self):
        code, said, found = self.run_it("adaptive")
        self.assertEqual(code, 0, said)
        self.assertEqual(found["adapted_otherwise"], 1)
        self.assertIn("of them 1 adapt to what was trained", said)

    def test_a_program_that_leaves_no_run_or_takes_too_long_is_no_result(self):
        code, said, found = self.run_it("nothing")
        self.assertEqual((code, found), (2, None))
        self.assertIn("left no run:\nno such suite", said)
        code, said, _ = self.run_it("", "--limit", "0.5")
        self.assertEqual(code, 2)
        self.assertIn("give more with --limit", said)


if __name__ == "__main__":
    unittest.main()
