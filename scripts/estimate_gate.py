#!/usr/bin/env python3
"""How often the gate of order estimates is wrong:

    python3 scripts/estimate_gate.py PROGRAM [--store STORE] [--seeds N] [--windows 16,32,80] [--orders N] [--out FILE]

PROGRAM is a built `palimpsest` with `palimpsest-engine` beside it. Trains each arm below under N seeds (a small MLP, 80 steps), asks
`estimate validate` of every run for every window, and holds the gate's verdicts to what the test orders say, which neither the
estimator nor the gate has seen. Losses are truly good where the residual of estimate and truth is at most half a standard deviation of
the truth and the rank correlation at least 0.7, and truly bad where a constant is nearly as good (residual of 1 and more) or ranks
mean nothing (0.3 and less); parameters are good up to a median relative error of 0.2 and bad above 0.5. A false pass is `ok` of what
is not good, a false alarm `outside validity` of what is good. Shares stand with 95 % intervals (Clopper and Pearson). Ends with 2 where
it could not run.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAIN = "momentum: 0, nesterov: false, weight_decay: 0"
ARMS = {
    "sgd-0.03": ("sgd", f"lr: 0.03, {PLAIN}"),
    "sgd-0.1": ("sgd", f"lr: 0.1, {PLAIN}"),
    "sgd-0.3": ("sgd", f"lr: 0.3, {PLAIN}"),
    "sgd-0.6": ("sgd", f"lr: 0.6, {PLAIN}"),
    "sgd-1.0": ("sgd", f"lr: 1.0, {PLAIN}"),
    "momentum-0.01": ("sgd", "lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0"),
    "adam-0.003": ("adamw", "lr: 0.003, weight_decay: 0"),
    "adam-0.01": ("adamw", "lr: 0.01, weight_decay: 0"),
    "adam-0.03": ("adamw", "lr: 0.03, weight_decay: 0"),
}
# What the gate promises (harness/stats/src/estimates/validity.rs), and what makes an estimate worthless.
GOOD_RESIDUAL, GOOD_RANK, BAD_RESIDUAL, BAD_RANK = 0.5, 0.7, 1.0, 0.3
GOOD_ERROR, BAD_ERROR = 0.2, 0.5


def suite():
    """The suite that trains the runs; it makes no estimates of its own."""
    arms = "".join(f"  - {{ method: {method}, as: {name}, with: {{ batch_size: 1, {settings} }} }}\n" for name, (method, settings) in ARMS.items())
    return (
        "suite: estimate-gate\nquestion: How often is the gate of order estimates wrong?\nseeds: 1\nkeep_models: true\n"
        "settings: { schedule: constant }\nworkloads: [{ workload: clusters-mlp, as: mlp }]\narms:\n" + arms
    )


def tail(n, k, p):
    """P(X >= k) of a binomial of n and p."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def interval(k, n, level=0.95):
    """Clopper-Pearson interval of k of n."""
    if n == 0:
        return (0.0, 1.0)
    half = (1 - level) / 2

    def root(found):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if found(middle) else (low, middle)
        return (low + high) / 2

    lower = 0.0 if k == 0 else root(lambda p: tail(n, k, p) < half)
    upper = 1.0 if k == n else root(lambda p: 1 - tail(n, k + 1, p) > half)
    return (lower, upper)


def deviation(values):
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def truth(document):
    """What the test orders say of losses and parameters: good, middling or bad; with the numbers. None where orders do nothing."""
    points = document["points"]
    true = [point["retrained"] for point in points]
    guess = [point["estimated"] for point in points]
    error = document["agreement"]["relative_error"]
    if document["agreement"]["signal"] == "no-order-signal" or deviation(true) == 0:
        return None
    if any(one is None for one in guess):
        return {"losses": "bad", "parameters": "bad", "residual": None, "rank": None, "error": error}
    residual = deviation([a - b for a, b in zip(guess, true)]) / deviation(true)
    rank = document["agreement"]["held_out"] or 0.0
    if residual <= GOOD_RESIDUAL and rank >= GOOD_RANK:
        losses = "good"
    else:
        losses = "bad" if residual >= BAD_RESIDUAL or rank <= BAD_RANK else "middling"
    if error is None:
        parameters = "bad"
    else:
        parameters = "good" if error <= GOOD_ERROR else "bad" if error > BAD_ERROR else "middling"
    return {"losses": losses, "parameters": parameters, "residual": residual, "rank": rank, "error": error}


def table(rows, what):
    """Verdicts of the gate against the truth, and both errors, in Markdown."""
    kinds, verdicts = ["good", "middling", "bad"], ["ok", "weak", "outside validity"]
    counts = {(v, k): sum(1 for row in rows if row["verdicts"][what] == v and row["truth"][what] == k) for v in verdicts for k in kinds}
    lines = [f"| gate on {what} | truly good | middling | bad |", "| --- | --- | --- | --- |"]
    lines += [f"| {v} | " + " | ".join(str(counts[v, k]) for k in kinds) + " |" for v in verdicts]
    passed = sum(counts["ok", k] for k in kinds)
    wrong = passed - counts["ok", "good"]
    good = sum(counts[v, "good"] for v in verdicts)
    alarms = counts["outside validity", "good"]

    def share(k, n):
        low, high = interval(k, n)
        return f"{k} of {n} ({low:.3f} to {high:.3f})"

    lines += ["", f"False passes: {share(wrong, passed)} of what is ok; of these worthless: {counts['ok', 'bad']}."]
    lines += [f"False alarms: {share(alarms, good)} of what is good."]
    return "\n".join(lines)


def call(program, *arguments):
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 3):
        print(f"{' '.join(arguments)}: {done.stderr.strip()}", file=sys.stderr)
        sys.exit(2)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--windows", default="16", help="last steps, apart by commas")
    parser.add_argument("--orders", type=int, default=64)
    parser.add_argument("--out", help="a JSON file with every verdict and every number")
    options = parser.parse_args()
    program = os.path.abspath(options.program)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "estimate-gate.yaml"
        path.write_text(suite())
        call(program, "run", str(path), "--seeds", str(options.seeds), "--store", options.store)
    runs = json.loads(call(program, "list", "runs", "--store", options.store, "--json"))
    runs = [run for run in runs if run["arm"] in ARMS and run["suite"] == "estimate-gate" and run["status"] in ("reached", "censored")]
    rows, still = [], 0
    for window in options.windows.split(","):
        for run in runs:
            with tempfile.TemporaryDirectory() as folder:
                text = call(
                    program, "estimate", "validate", run["run"], "--store", options.store, "--last", window,
                    "--orders", str(options.orders), "--out", folder, "--json",
                )  # fmt: skip
            document = json.loads(text)[0]
            found = truth(document)
            validity = document["source"]["validity"]
            if found is None or validity["verdict"] == "no order signal":
                still += 1
                continue
            verdicts = {"losses": validity["verdict"], "parameters": validity["parameters"] or "outside validity"}
            rows.append({"run": run["run"], "arm": run["arm"], "seed": run["seed"], "window": int(window), "verdicts": verdicts, "truth": found})
    used = time.process_time() + os.times().children_user + os.times().children_system
    print(f"{len(rows)} runs and windows of {len(ARMS)} arms under {options.seeds} seeds, {options.orders} test orders each;")
    print(f"{still} without an effect of orders left out; {used:.0f} s of processor time\n")
    print(table(rows, "losses"), "\n")
    print(table(rows, "parameters"))
    if options.out:
        Path(options.out).write_text(json.dumps({"format": 1, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
