"""Tests of the gate's error rates.  Run: python3 scripts/test_estimate_gate.py"""

import contextlib
import io
import json
import pathlib
import stat
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import estimate_gate

# Knows two runs: what the gate says of each, and what the test orders do, follow from the name of its arm.
PROGRAM = f"""#!{sys.executable}
import json, sys
verb = sys.argv[1]
if verb == "list":
    rows = [("a", "sgd-0.1", "reached"), ("b", "sgd-1.0", "censored"), ("c", "sgd-0.1", "failed"), ("d", "other", "reached")]
    print(json.dumps([{{"run": run, "arm": arm, "suite": "estimate-gate", "status": status, "seed": 0}} for run, arm, status in rows]))
elif verb == "estimate":
    wild = sys.argv[3] == "b"
    points = [{{"retrained": float(n % 7), "estimated": float((n * 3 if wild else n) % 7)}} for n in range(28)]
    validity = {{"verdict": "ok", "parameters": "outside validity"}}
    agreement = {{"signal": "present", "held_out": -0.1 if wild else 1.0, "relative_error": 0.9 if wild else 0.1}}
    print(json.dumps([{{"points": points, "agreement": agreement, "source": {{"validity": validity}}}}]))
    sys.exit(3)
"""


class Gate(unittest.TestCase):
    def test_intervals_are_those_of_clopper_and_pearson(self):
        # scipy 1.17, binomtest(k, n).proportion_ci(): 0 of 10, 3 of 12, 10 of 10.
        for k, n, low, high in [(0, 10, 0, 0.308497), (3, 12, 0.054861, 0.571858), (10, 10, 0.691503, 1)]:
            found = estimate_gate.interval(k, n)
            self.assertAlmostEqual(found[0], low, 5)
            self.assertAlmostEqual(found[1], high, 5)
        self.assertEqual(estimate_gate.interval(0, 0), (0.0, 1.0))

    def test_truth_is_what_the_test_orders_say(self):
        def document(noise, rank, error, signal="present"):
            points = [{"retrained": float(n), "estimated": n + noise * (-1) ** n} for n in range(20)]
            return {"points": points, "agreement": {"signal": signal, "held_out": rank, "relative_error": error}}

        good = estimate_gate.truth(document(0.1, 0.99, 0.1))
        self.assertEqual((good["losses"], good["parameters"]), ("good", "good"))
        # Off by 4 where the truth has an sd of 5.9.
        middling = estimate_gate.truth(document(4.0, 0.8, 0.3))
        self.assertEqual((middling["losses"], middling["parameters"]), ("middling", "middling"))
        self.assertEqual(estimate_gate.truth(document(0.1, 0.2, 0.1))["losses"], "bad")
        self.assertEqual(estimate_gate.truth(document(9.0, 0.8, None))["parameters"], "bad")
        self.assertIsNone(estimate_gate.truth(document(0.1, None, 0.1, "no-order-signal")))
        lost = document(0.1, 0.9, 0.1)
        lost["points"][3]["estimated"] = None
        self.assertEqual(estimate_gate.truth(lost)["losses"], "bad")

    def test_errors_of_both_kinds_are_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "palimpsest"
            program.write_text(PROGRAM)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            out = pathlib.Path(folder) / "gate.json"
            said = io.StringIO()
            with mock.patch.object(sys, "argv", ["x", str(program), "--windows", "8,16", "--out", str(out)]):
                with contextlib.redirect_stdout(said):
                    estimate_gate.main()
            text, rows = said.getvalue(), json.loads(out.read_text())["rows"]
        # Two runs in two windows: failed runs and other arms are left out.
        self.assertEqual(len(rows), 4)
        self.assertIn("| ok | 2 | 0 | 2 |", text)
        self.assertIn("False passes: 2 of 4 (0.068 to 0.932) of what is ok; of these worthless: 2.", text)
        self.assertIn("False alarms: 2 of 2 (0.158 to 1.000) of what is good.", text)

    def test_the_suite_has_every_arm_once(self):
        text = estimate_gate.suite()
        for arm in estimate_gate.ARMS:
            self.assertEqual(text.count(f"as: {arm},"), 1)


if __name__ == "__main__":
    unittest.main()
