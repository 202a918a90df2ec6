"""Tests of the table of what suites take.  Run: python3 scripts/test_measure_takes.py"""

import json
import pathlib
import stat
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import measure_takes

TABLE = "# Said before.\nsuite,seconds,seeds,where,date\ndigits,13,1,a machine,2026-11-28\nteachers,9,1,a machine,2026-11-28\n"

PROGRAM = """#!/bin/sh
if [ "$1" = list ]; then
  echo '[{"suite": "digits", "takes": {"seconds": 13}}, {"suite": "papers/n-m", "takes": null}, {"suite": "broken", "takes": null}]'
else
  test "$2" != broken && test "$3 $4 $5 $6 $7 $8" = "--force --seeds 1 --jobs 1 --store" && test -d "$9"
fi
"""


class Takes(unittest.TestCase):
    def test_a_row_goes_to_its_place_and_replaces_the_one_of_the_same_suite(self):
        more = measure_takes.with_row(TABLE, "papers/n-m,40,1,another,2026-11-30")
        self.assertEqual([line.split(",")[0] for line in more.splitlines()[2:]], ["digits", "papers/n-m", "teachers"])
        again = measure_takes.with_row(more, "digits,99,1,another,2026-11-30")
        self.assertIn("digits,99,1,another,2026-11-30\npapers/n-m,40", again)
        self.assertNotIn("digits,13", again)
        self.assertTrue(again.startswith("# Said before.\nsuite,seconds,seeds,where,date\n"))

    def test_suites_without_a_row_are_run_and_one_that_fails_gets_none(self):
        with tempfile.TemporaryDirectory() as folder:
            program, table = pathlib.Path(folder, "program"), pathlib.Path(folder, "takes.csv")
            program.write_text(PROGRAM)
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            table.write_text(TABLE)
            measure_takes.TAKES = table
            with self.assertRaises(SystemExit) as end:
                measure_takes.main(str(program), "2 cores")
            self.assertIn("no row for broken", str(end.exception))
            rows = table.read_text().splitlines()
            self.assertEqual([row.split(",")[0] for row in rows[2:]], ["digits", "papers/n-m", "teachers"])
            self.assertRegex(rows[3], r"^papers/n-m,1,1,2 cores,\d{4}-\d\d-\d\d$")
            with self.assertRaises(SystemExit) as end:
                measure_takes.main(str(program), "2 cores, busy", "digits")
            self.assertIn("no comma", str(end.exception))

    def test_records_of_a_store_tell_the_median_over_seeds_and_a_missing_run_gives_no_row(self):
        with tempfile.TemporaryDirectory() as folder:
            store, table = pathlib.Path(folder), pathlib.Path(folder, "takes.csv")
            table.write_text(TABLE)
            measure_takes.TAKES = table
            seconds = {"a": ("0", 10.0), "b": ("0", 5.0), "c": ("1", 20.0), "d": ("1", 1.0), "e": ("2", 99.0)}
            cells = [{"cell": cell, "seed": seed} for cell, (seed, _) in seconds.items()]
            (store / "suites/n-m").mkdir(parents=True)
            (store / "suites/n-m/1.json").write_text(json.dumps({"cells": []}))
            (store / "suites/n-m/2.json").write_text(json.dumps({"cells": cells}))
            for cell, (_, total) in seconds.items():
                (store / cell).mkdir()
                (store / cell / "record.json").write_text(json.dumps({"status": "censored", "clocks": {"total": total}}))
            measure_takes.main("--records", folder, "2 cores", "papers/n-m")
            self.assertIn("\npapers/n-m,21,1,2 cores; median of 3 seeds by their records,", table.read_text())
            (store / "e/record.json").unlink()
            with self.assertRaises(SystemExit) as end:
                measure_takes.main("--records", folder, "2 cores", "papers/n-m")
            self.assertIn("no row for papers/n-m: not every run of it is in the store", str(end.exception))


if __name__ == "__main__":
    unittest.main()
