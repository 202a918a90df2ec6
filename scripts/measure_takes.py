#!/usr/bin/env python3
"""How long suites take with one seed and one worker, into suites/takes.csv.

    python3 scripts/measure_takes.py PROGRAM MACHINE [SUITE…]
    python3 scripts/measure_takes.py --records STORE MACHINE SUITE…

PROGRAM is the path of `palimpsest`, MACHINE a few words without a comma: cores, their load, the processor. Without SUITE, all
that have no row and whose data are here (`list suites --json` names them). Runs go to a folder that is removed, so that nothing is
in a store already; a suite whose run fails, or whose frozen settings are not there, is named at the end and gets no row.

With --records nothing runs: the seconds are those that the last run of each suite in STORE has in its records, the median over its
seeds of the clocks of a seed's runs. Starting the program and drawing are not in them.
"""

import datetime
import json
import pathlib
import statistics
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


def recorded(store, suite):
    """Seconds of one seed's runs as the records of the suite's last run have them, and of how many seeds; none where a run is missing."""
    runs = sorted(pathlib.Path(store, "suites", suite.split("/")[-1]).glob("*.json"))
    if not runs:
        return None, ""
    seconds = {}
    for cell in json.loads(runs[-1].read_text())["cells"]:
        path = pathlib.Path(store, cell["cell"], "record.json")
        record = json.loads(path.read_text()) if path.is_file() else {"status": "missing"}
        if record["status"] in ("missing", "failed"):
            return None, ""
        seconds[cell["seed"]] = seconds.get(cell["seed"], 0) + record["clocks"]["total"]
    return round(statistics.median(seconds.values())), f"; median of {len(seconds)} seeds by their records"


def main(program, machine, *suites):
    if program == "--records":
        store, (machine, *suites) = machine, suites or [""]
    if "," in machine:
        sys.exit(f"MACHINE is {machine!r}, but must have no comma, which parts the fields of {TAKES.name}")
    if not suites and program == "--records":
        sys.exit("--records wants the names of suites")
    if not suites:
        listed = json.loads(subprocess.run([program, "list", "suites", "--json"], capture_output=True, check=True).stdout)
        suites = [suite["suite"] for suite in listed if suite["takes"] is None]
    failed = []
    for suite in suites:
        seconds, how = recorded(store, suite) if program == "--records" else (measured(program, suite), "")
        if seconds is None:
            failed.append(suite)
            continue
        row = f"{suite},{max(seconds, 1)},1,{machine}{how},{datetime.date.today().isoformat()}"
        TAKES.write_text(with_row(TAKES.read_text(), row))
        print(row, flush=True)
    if failed:
        why = "not every run of it is in the store" if program == "--records" else "see what `palimpsest run` said above"
        sys.exit(f"no row for {', '.join(failed)}: {why}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
