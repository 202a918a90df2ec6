#!/usr/bin/env python3
"""How long suites take with one seed and one worker, into suites/takes.csv.

    python3 scripts/measure_takes.py PROGRAM MACHINE [SUITE…]

PROGRAM is the path of `palimpsest`, MACHINE a few words without a comma: cores, their load, the processor. Without SUITE, all
that have no row and whose data are here (`list suites --json` names them). Runs go to a folder that is removed, so that nothing is
in a store already; a suite whose run fails, or whose frozen settings are not there, is named at the end and gets no row.
"""

import datetime
import json
import pathlib
import subprocess
import sys
import tempfile
import time

TAKES = pathlib.Path(__file__).resolve().parent.parent / "suites" / "takes.csv"


def with_row(text, row):
    """The table with this row in place of the suite's own, in the order of names."""
    lines = text.splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith("suite,")]
    head = lines[: heads[0] + 1]
    rows = [line for line in lines[heads[0] + 1 :] if line.split(",")[0] != row.split(",")[0]]
    rows = sorted([*rows, row], key=lambda line: line.split(",")[0])
    return "\n".join([*head, *rows]) + "\n"


def measured(program, suite):
    """Seconds that a run of it took; none where it failed."""
    with tempfile.TemporaryDirectory() as store:
        start = time.monotonic()
        code = subprocess.run([program, "run", suite, "--force", "--seeds", "1", "--jobs", "1", "--store", store]).returncode
        return round(time.monotonic() - start) if code == 0 else None


def main(program, machine, *suites):
    if "," in machine:
        sys.exit(f"MACHINE is {machine!r}, but must have no comma, which parts the fields of {TAKES.name}")
    if not suites:
        listed = json.loads(subprocess.run([program, "list", "suites", "--json"], capture_output=True, check=True).stdout)
        suites = [suite["suite"] for suite in listed if suite["takes"] is None]
    failed = []
    for suite in suites:
        seconds = measured(program, suite)
        if seconds is None:
            failed.append(suite)
            continue
        row = f"{suite},{max(seconds, 1)},1,{machine},{datetime.date.today().isoformat()}"
        TAKES.write_text(with_row(TAKES.read_text(), row))
        print(row, flush=True)
    if failed:
        sys.exit(f"no row for {', '.join(failed)}: see what `palimpsest run` said above")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
