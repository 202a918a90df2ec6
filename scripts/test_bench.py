"""Tests of scripts/bench.py: which verb takes which arguments, and when there is a report."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parent / "bench.py"

# Logs how it was called, and ends as `run` is told to.
PROGRAM = """#!{python}
import sys
with open("log", "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
print(sys.argv[1])
sys.exit({code} if sys.argv[1] == "run" else 0)
"""


class Bench(unittest.TestCase):
    def bench(self, *arguments, code=0):
        """The calls, standard output and exit code."""
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder) / "program"
            program.write_text(PROGRAM.format(python=sys.executable, code=code))
            program.chmod(0o755)
            ended = subprocess.run([sys.executable, SCRIPT, program, "digits", *arguments], cwd=folder,
                                   stdout=subprocess.PIPE, text=True)
            calls = (pathlib.Path(folder) / "log").read_text().splitlines()
        return calls, ended.stdout.split(), ended.returncode

    def test_the_report_is_of_the_store_that_was_run_into(self):
        for store in (["--store", "D"], ["--store=D"]):
            calls, _, code = self.bench(*store, "--seeds", "2")
            words = " ".join(store)
            self.assertEqual(calls, [f"run digits {words} --seeds 2", f"report digits --run last {words}"])
            self.assertEqual(code, 0)

    def test_each_verb_gets_what_it_alone_takes(self):
        calls, _, _ = self.bench("--methods", "sgd", "--out", "here", "--data-dir", "data", "--format=json", "--force")
        self.assertEqual(calls, [
            "run digits --methods sgd --data-dir data --force",
            "report digits --run last --out here --data-dir data --format=json",
        ])

    def test_an_option_without_its_value_is_for_the_program_to_refuse(self):
        calls, _, code = self.bench("--store", code=2)
        self.assertEqual((calls, code), (["run digits --store"], 2))

    def test_json_stands_alone_on_standard_output(self):
        self.assertEqual(self.bench("--json")[1], ["run"])
        self.assertEqual(self.bench()[1], ["run", "report"])

    def test_what_failed_in_part_is_reported_and_its_exit_code_stays(self):
        for code in (1, 3, 4):
            calls, _, ended = self.bench("--strict", code=code)
            self.assertEqual((len(calls), ended), (2, code))

    def test_where_nothing_ran_there_is_no_report_of_an_older_run(self):
        for arguments, code in ([["--dry-run"], 0], [["--sedes", "2"], 2], [[], 70], [[], 130]):
            calls, _, ended = self.bench(*arguments, code=code)
            self.assertEqual((len(calls), ended), (1, code))


if __name__ == "__main__":
    unittest.main(argv=["test_bench"])
