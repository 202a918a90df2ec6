"""Tests of scripts/claims.py with a made-up program: what is done, in which order, and what is said before."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent / "claims.py"
BECAUSE = ["--because", "a new rule", "--results-seen"]

# Answers from state.json, logs what changes something, and fails or dies where the state says so. What was
# tuned and run is kept, as cells are.
PROGRAM = """#!{python}
import json, os, signal, sys
state = json.load(open("state.json"))
verb, *rest = sys.argv[1:]
if verb == "claims" and rest[0] == "show":
    print(json.dumps([{{"id": "c"}}] * state[rest[1]].get("claims", 1)))
elif verb == "plan" or "--dry-run" in rest:
    suite = state[rest[0]]
    if "refused" in suite:
        sys.exit(suite["refused"])
    left = suite["trials" if verb == "tune" else "cells"]
    tuning = {{"arms": [{{"arm": "a", "state": suite["tuning"]}}]}} if "tuning" in suite else None
    print(json.dumps({{
        "data_absent": suite.get("absent", []), "cells": [{{}}] * 10, "tuning": tuning,
        "to_train": {{"cells": left, "seconds_at_least": 60.0 * left, "cells_of_unknown_cost": suite.get("unknown", 0)}},
    }}))
else:
    with open("log", "a") as log:
        log.write(" ".join([verb, *rest]) + "\\n")
    print("DOES", verb, *rest, flush=True)
    suite = state.get(rest[0], {{}})
    if suite.get("dies") == verb:
        del suite["dies"]
        json.dump(state, open("state.json", "w"))
        os.kill(os.getppid(), signal.SIGKILL)
    if suite.get("fails") == verb:
        sys.exit(4)
    if verb == "tune":
        suite.update(tuning="chosen", trials=0)
    if verb == "run":
        suite.update(cells=0)
    json.dump(state, open("state.json", "w"))
"""


class Claims(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "suites").mkdir()
        self.program = self.folder / "program"
        self.program.write_text(PROGRAM.format(python=sys.executable))
        self.program.chmod(0o755)

    def suites(self, **state):
        (self.folder / "state.json").write_text(json.dumps(state))
        for name in state:
            (self.folder / "suites" / name).parent.mkdir(exist_ok=True)
            (self.folder / "suites" / f"{name}.yaml").write_text("")
            (self.folder / "suites" / f"{name}.tuned.yaml").write_text("")

    def run_script(self, *arguments):
        command = [sys.executable, str(SCRIPT), str(self.program), *arguments]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment)

    def log(self):
        log = self.folder / "log"
        return log.read_text().splitlines() if log.exists() else []

    def test_a_suite_is_tuned_run_and_recorded_and_the_page_is_written_once(self):
        self.suites(a={"tuning": "missing", "trials": 4, "cells": 10}, b={"tuning": "chosen", "trials": 0, "cells": 2}, c={"claims": 0})
        done = self.run_script(*BECAUSE, "--", "--jobs", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        record = "--because a new rule --results-seen"
        self.assertEqual(self.log(), [
            "tune a --jobs 2", "run a --jobs 2", f"claims record a {record}",
            "run b --jobs 2", f"claims record b {record}", "claims page",
        ])

    def test_what_is_due_is_said_with_its_minutes_before_anything_begins(self):
        self.suites(a={"tuning": "changed", "trials": 4, "cells": 10}, b={"cells": 2, "unknown": 2})
        said = self.run_script(*BECAUSE).stdout
        before = said[:said.index("DOES")]
        self.assertIn("a  tune by 4 trials' cells, run 10 of 10 cells, record: about 14 min", before)
        self.assertIn("b  run 2 of 10 cells, record: at least 2 min (2 cells have not run yet)", before)
        self.assertIn("2 suites, at least 16 min (2 cells have not run yet)", before)

    def test_a_dry_run_says_the_same_and_does_nothing(self):
        self.suites(a={"cells": 10})
        done = self.run_script("--dry-run")
        self.assertEqual((done.returncode, self.log()), (0, []))
        self.assertIn("run 10 of 10 cells, record: about 10 min", done.stdout)

    def test_suites_in_folders_are_found_by_the_name_that_palimpsest_knows(self):
        self.suites(**{"a": {"cells": 10}, "papers/b": {"cells": 2}})
        said = self.run_script("--dry-run").stdout
        self.assertIn("papers/b  run 2 of 10 cells", said)

    def test_a_suite_without_its_data_is_skipped_with_the_reason_and_does_not_fail(self):
        self.suites(a={"absent": ["cifar10"], "tuning": "missing", "trials": 4, "cells": 10}, b={"cells": 2})
        done = self.run_script(*BECAUSE)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("a  skipped: the data of cifar10 are not here; `palimpsest data fetch cifar10`", done.stdout)
        self.assertEqual([line.split(" --because")[0] for line in self.log()],
                         ["run b", "claims record b", "claims page"])

    def test_after_a_suite_that_fails_the_others_go_on_and_it_is_named_at_the_end(self):
        self.suites(a={"cells": 1, "fails": "run"}, b={"refused": "error: b.yaml:3:1: no such arm"}, c={"cells": 1})
        done = self.run_script(*BECAUSE)
        self.assertEqual(done.returncode, 1)
        record = "--because a new rule --results-seen"
        self.assertEqual(self.log(), ["run a", "run c", f"claims record c {record}", "claims page"])
        self.assertIn("not judged: a: `palimpsest run a` ended with 4", done.stderr)
        self.assertIn("not judged: b: error: b.yaml:3:1: no such arm", done.stderr)
        self.assertNotIn("not judged: c", done.stderr)

    def test_killed_while_it_runs_it_goes_on_where_it_was(self):
        self.suites(a={"tuning": "missing", "trials": 4, "cells": 10, "dies": "run"}, b={"cells": 2})
        killed = self.run_script(*BECAUSE)
        self.assertLess(killed.returncode, 0)
        self.assertEqual(self.log(), ["tune a", "run a"])
        again = self.run_script(*BECAUSE)
        self.assertEqual(again.returncode, 0, again.stderr)
        self.assertNotIn("tune", again.stdout, "what was chosen is not chosen again")
        self.assertEqual([line.split()[:2] for line in self.log()[2:]],
                         [["run", "a"], ["claims", "record"], ["run", "b"], ["claims", "record"], ["claims", "page"]])

    def test_only_the_suites_that_are_named_are_judged_and_one_without_claims_is_said(self):
        self.suites(a={"cells": 1}, b={"cells": 1}, c={"claims": 0})
        done = self.run_script("b", "c", *BECAUSE)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.log()[0], "run b")
        self.assertNotIn("run a", self.log())
        self.assertIn("not judged: c: it has no claims", done.stderr)

    def test_without_a_reason_nothing_begins(self):
        self.suites(a={"cells": 1})
        for arguments in ([], ["--because", "why"], ["--results-seen"]):
            done = self.run_script(*arguments)
            self.assertEqual((done.returncode, self.log()), (2, []), arguments)
            self.assertIn("--because WHY and --results-seen or --results-unseen", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=["test_claims"])
