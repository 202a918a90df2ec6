#!/usr/bin/env python3
"""Draws the figures of docs/gallery.md anew, each by the command that stands there.

    just gallery [--accept-build] [NAME…]

Runs are kept in the store (PALIMPSEST_STORE, else `runs`): the second time only what changed is trained. A figure is the
SVG that the verb wrote. With NAMEs only these are drawn, and only what they need is run. With --accept-build runs of an
older build of the programs are drawn as they are, as `palimpsest run --accept-build` has it.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"
STORE = pathlib.Path(os.environ.get("PALIMPSEST_STORE", "runs")).absolute()
GENERATIVE = "edm,edm-ddim,pd-2,pd-4,pd-8,edm-images"

# Suites: what `run` is given beside the store, and the figures of the report, by their names in docs/figures.
SUITES = {
    "digits": (["digits"], {
        "time-to-target": "digits-mlp-time-to-target",
        "learning-curves": "digits-mlp-metric-panels",
        "recorded": "digits-mlp-metrics",
        "cost": "digits-mlp-cost",
        "seeds": "digits-mlp-seeds",
        "orders": "digits-mlp-orders",
        "claims": "claims",
        "tuning": "tuning",
    }),
    "two-workloads": (["examples/gallery/two-workloads.yaml"], {
        "curves-by-time": "digits-metric-by-time",
        "at-budget": "blobs-at-budget",
        "profile": "profile-samples",
        "arms-by-workloads": "arms-by-workloads",
    }),
    "generative": (
        ["generative", "--workloads", "ring8,shapes16", "--methods", GENERATIVE, "--seeds", "2"],
        {"few-steps": "ring8-sw2-by-number", "curves-by-cost": "ring8-metric-by-network-evaluations"},
    ),
    "pfnr": (["papers/pfnr", "--seeds", "1"], {"kept": "clips-kept"}),
    "estimates": (["estimates", "--seeds", "1"], {"estimate-validation": "estimate-1-0"}),
    "derivatives": (["examples/gallery/derivatives.yaml"], {}),
}
# Calibration as PNG: its longest line leaves an SVG whose reader lacks the font.
# Verbs that draw beside a report: of which suite, the arguments without the store, and the figures.
TOLD = ["--last", "16", "-k", "32"]
DIGITS = ["--items", "examples", "--last", "4", "-k", "32", "--keep", "0.95", "--subsets", "0", "--fresh"]
VERBS = [
    ("estimates", ["estimate", "search", "clusters-mlp/sgd-0.1", *TOLD], {"estimate-search": "estimate-search"}),
    ("estimates", ["estimate", "position", "clusters-mlp/sgd-0.1", *TOLD], {"estimate-position": "estimate-position"}),
    ("estimates", ["estimate", "attribute", "clusters-mlp/sgd-0.1", *TOLD], {"estimate-attribution": "estimate-attribution"}),
    ("estimates", ["estimate", "drop", "digits-mlp/sgd-digits", *DIGITS], {"estimate-drop": "estimate-drop"}),
    ("derivatives", ["provenance", "map", "markov-mlp/trained"], {"imprint-map": "imprint-map"}),
    ("derivatives", ["provenance", "power", "derivatives"], {"power": "power-examples-queried"}),
    (None, ["provenance", "calibrate", "--runs", "40", "--permutations", "400"], {"calibration": "calibration.png"}),
]


def said(program, *arguments, where=ROOT):
    """What a command prints; its complaint and the end of this script where it fails."""
    answer = subprocess.run([program, *arguments], cwd=where, capture_output=True, text=True)
    if answer.returncode != 0:
        sys.exit(f"`palimpsest {' '.join(map(str, arguments))}` ended with {answer.returncode}\n{answer.stderr}")
    return answer.stdout


def run_of(program, workload, arm):
    """The first run of an arm on a workload, of the suite's last run."""
    rows = json.loads(said(program, "list", "runs", "--store", STORE, "--json"))
    for row in rows:
        if (row["workload"], row["arm"] or "", row["seed"]) == (workload, arm, 0):
            return row["run"]
    sys.exit(f"the store has no run of {workload}/{arm} under seed 0")


def history(program, folder):
    """A history of twenty commits of a small project, each of which really sorted; the thirteenth sorts three times."""
    repository = folder / "project"
    repository.mkdir()
    git = ["git", "-c", "user.name=gallery", "-c", "user.email=gallery@example.org"]
    subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    for number in range(1, 21):
        times = 3 if number >= 13 else 1
        (repository / "sorting.py").write_text(f"# {number}\nTIMES = {times}\n")
        subprocess.run(["git", "add", "sorting.py"], cwd=repository, check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", f"commit {number}"], cwd=repository, check=True)
        rounds = []
        for _ in range(9):
            rows = [(7919 * place) % 20011 for place in range(20000)]
            begun = time.process_time_ns()
            for _ in range(times):
                sorted(rows)
            rounds.append(time.process_time_ns() - begun)
        results = folder / f"{number}.json"
        results.write_text(json.dumps({"sort": {"latency": {"value": sorted(rounds)[4]}}}))
        said(program, "regress", "record", "sorting", "--from", results, "--commit", "HEAD", where=repository)
    # The thirteenth commit is slower: 1 is the answer that is due.
    out = folder / "history"
    code = subprocess.run([program, "regress", "history", "sorting", "--out", out], cwd=repository).returncode
    if code != 1:
        sys.exit(f"`palimpsest regress history` ended with {code}, and 1 was due")
    return out


def placed(folder, figures, wanted):
    """Copies what was asked for of the figures at or below a folder into docs/figures: SVGs, but where a name says PNG."""
    for figure, file in figures.items():
        if figure in wanted:
            file = pathlib.Path(file if file.endswith(".png") else f"{file}.svg")
            drawn = next(folder.rglob(file.name), None)
            if drawn is None:
                there = sorted(path.name for path in folder.rglob(f"*{file.suffix}"))
                sys.exit(f"no figure {file} was drawn; there are {', '.join(there)}")
            place = FIGURES / f"{figure}{file.suffix}"
            shutil.copyfile(drawn, place)
            print(place.relative_to(ROOT), flush=True)


def main():
    program, wanted = str(pathlib.Path(sys.argv[1]).absolute()), set(sys.argv[2:])
    accepted = ["--accept-build"] if "--accept-build" in wanted else []
    wanted -= {"--accept-build"}
    verbs = {figure for _, _, figures in VERBS for figure in figures}
    every = {figure for _, figures in SUITES.values() for figure in figures} | verbs | {"history"}
    if wanted - every:
        sys.exit(f"no figure is called {', '.join(sorted(wanted - every))}; there are {', '.join(sorted(every))}")
    wanted = wanted or every
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for suite, (arguments, figures) in SUITES.items():
            asked = {figure for of, _, some in VERBS if of == suite for figure in some} | set(figures)
            if asked & wanted:
                said(program, "run", *arguments, *accepted, "--store", STORE, "--device", "cpu")
            if set(figures) & wanted:
                out = folder / suite
                said(program, "report", suite, "--run", "last", "--store", STORE, "--format", "svg", "--out", out)
                placed(out, figures, wanted)
        for number, (_, arguments, figures) in enumerate(VERBS):
            if set(figures) & wanted:
                filled = [run_of(program, *word.split("/")) if "/" in word else word for word in arguments]
                out = folder / f"verb-{number}"
                said(program, *filled, "--store", STORE, "--out", out)
                placed(out, figures, wanted)
        if "history" in wanted:
            placed(history(program, folder), {"history": "history-1"}, wanted)


if __name__ == "__main__":
    main()
