#!/usr/bin/env python3
"""Write logs and benchmark results with the tools themselves: `log_fixtures.py FOLDER [TOOL...]`.

What `palimpsest import` and `palimpsest regress record --from` read is tested on these files, which are committed in
`harness/logs/tests/fixtures`: small, with curves that are a formula, so that a test knows what stands in them. A tool
that is not installed is passed over, with a line that says so. For W&B, whose exports come from its server, the files
are written by hand in the form that its documentation and its charts have.

Tools: tensorboardX, tensorboard, mlflow-skinny, lightning (with torch), pytest-benchmark, asv, git.
"""

import csv
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ARMS = {"adam": 0.02, "sgd": 0.01}
SEEDS = [0, 1, 2]
STEPS = range(0, 201, 20)


def value(arm, seed, step):
    """What every log says of this arm, seed and step."""
    return round(1 - math.exp(-ARMS[arm] * (1 + 0.05 * seed) * step), 6)


def tensorboard_x(folder):
    from tensorboardX import SummaryWriter

    for arm in ARMS:
        for seed in SEEDS:
            with SummaryWriter(str(folder / arm / f"seed{seed}")) as writer:
                start = time.time() + 1
                for step in STEPS:
                    wall = start + step / 10
                    writer.add_scalar("train/loss", 1 - value(arm, seed, step), step, walltime=wall)
                    writer.add_scalar("val/accuracy", value(arm, seed, step), step, walltime=wall)
    named(folder)


def named(folder):
    """The machine and the process are in the names of event files, and no part of a fixture."""
    for path in folder.rglob("*.tfevents.*"):
        path.rename(path.with_name("events.out.tfevents.1700000000.machine"))


def tensorboard(folder):
    """Scalars of the second version: tensors, as `tf.summary.scalar` writes them."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for seed in SEEDS:
        writer = EventFileWriter(str(folder / "adam" / f"seed{seed}"))
        start = time.time() + 1
        for step in STEPS:
            told = Event(wall_time=start + step / 10, step=step)
            told.summary.CopyFrom(scalar_pb("val/accuracy", value("adam", seed, step)))
            writer.add_event(told)
        writer.close()
    named(folder)


def mlflow(folder):
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory() as made:
        client = MlflowClient(tracking_uri=Path(made, "mlruns").as_uri())
        experiment = client.create_experiment("fixtures")
        for arm in ARMS:
            for seed in SEEDS[:2]:
                run = client.create_run(experiment, start_time=1_700_000_000_000, run_name=f"{arm}-{seed}").info.run_id
                client.log_param(run, "optimizer", arm)
                client.log_param(run, "seed", seed)
                for step in STEPS:
                    when = 1_700_000_000_000 + 100 * step
                    client.log_metric(run, "val/accuracy", value(arm, seed, step), timestamp=when, step=step)
                client.set_terminated(run, end_time=1_700_000_030_000)
        # Where the files lay and who made them is nobody's to know.
        for path in sorted(Path(made, "mlruns", experiment).rglob("*")):
            if path.is_file() and path.name != "tags" and "mlflow." not in path.name:
                text = path.read_text().replace(made, "/made").splitlines(keepends=True)
                text = "".join(line for line in text if not line.startswith(("user_id", "artifact_uri")))
                target = folder / path.relative_to(Path(made, "mlruns"))
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)


def lightning(folder):
    """The logger alone: what `Trainer` calls, without a model."""
    from lightning.pytorch.loggers import CSVLogger

    for arm in ARMS:
        for seed in SEEDS:
            logger = CSVLogger(str(folder), name=f"{arm}-{seed}")
            for epoch, step in enumerate(STEPS):
                logger.log_metrics({"train_loss": 1 - value(arm, seed, step), "epoch": epoch}, step=step)
                logger.log_metrics({"val_accuracy": value(arm, seed, step), "epoch": epoch}, step=step)
            logger.log_metrics({"test_accuracy": value(arm, seed, STEPS[-1]) - 0.01, "epoch": 10}, step=STEPS[-1])
            logger.save()
            shutil.rmtree(Path(logger.log_dir, "checkpoints"), ignore_errors=True)


def wandb(folder):
    """By hand: a chart's CSV, a history as CSV and as JSON lines."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = [(arm, seed) for arm in ARMS for seed in SEEDS]
    with open(folder / "chart.csv", "w", newline="") as file:
        rows = csv.writer(file, quoting=csv.QUOTE_ALL)
        names = [f"{arm}-s{seed} - val/accuracy" for arm, seed in runs]
        rows.writerow(["Step", *(name + end for name in names for end in ("", "__MIN", "__MAX"))])
        for step in STEPS:
            rows.writerow([step, *(value(arm, seed, step) for arm, seed in runs for _ in range(3))])
    with open(folder / "history.jsonl", "w") as file:
        for step in STEPS:
            row = {"val/accuracy": value("adam", 0, step), "_step": step, "_runtime": 1 + step / 10,
                   "_timestamp": 1_700_000_000 + step / 10}
            file.write(json.dumps(row if step % 40 == 0 else {"loss": 1.0, "_step": step}) + "\n")
    with open(folder / "history.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["", "_step", "_runtime", "val/accuracy", "loss"])
        for number, step in enumerate(STEPS):
            rows.writerow([number, step, 1 + step / 10, value("adam", 0, step), ""])


def table(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "long.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["arm", "seed", "samples", "seconds", "metric", "value"])
        for arm in ARMS:
            for seed in SEEDS:
                for step in STEPS:
                    rows.writerow([arm, seed, 32 * step, step / 10, "accuracy", value(arm, seed, step)])


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()


def pytest_benchmark(folder):
    text = "import pytest\n\n\n@pytest.mark.parametrize('n', [10, 1000])\ndef test_sum(benchmark, n):\n" \
           "    benchmark.pedantic(sum, args=(range(n),), rounds=5)\n"
    with tempfile.TemporaryDirectory() as made:
        Path(made, "test_bench.py").write_text(text)
        out = Path(made, "out.json")
        command = [sys.executable, "-m", "pytest", "-q", "test_bench.py", f"--benchmark-json={out}"]
        subprocess.run(command, cwd=made, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        told = json.loads(out.read_text())
    anonymous(told["machine_info"])
    told["commit_info"]["project"] = "project"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pytest-benchmark.json").write_text(json.dumps(told, indent=1) + "\n")


def anonymous(machine):
    """A machine is no part of a fixture."""
    machine.update({"node": "machine", "release": "1"})
    machine["cpu"] = {"brand_raw": "a processor"}


def asv(folder):
    bench = "class Suite:\n    params = [[10, 1000], ['a']]\n\n    def time_sum(self, n, _):\n        sum(range(n))\n\n\n" \
            "def track_answer():\n    return 42\n\n\ndef time_broken():\n    raise ValueError\n"
    conf = {"version": 1, "project": "p", "repo": ".", "environment_type": "existing", "benchmark_dir": "benchmarks",
            "branches": ["main"]}
    with tempfile.TemporaryDirectory() as made:
        Path(made, "benchmarks").mkdir()
        Path(made, "benchmarks", "__init__.py").write_text("")
        Path(made, "benchmarks", "bench.py").write_text(bench)
        Path(made, "asv.conf.json").write_text(json.dumps(conf))
        git(made, "init", "--quiet", "--initial-branch=main")
        git(made, "add", ".")
        git(made, "commit", "--quiet", "-m", "one")
        run = [sys.executable, "-m", "asv"]
        environment = {**os.environ, "HOME": made}
        def call(*arguments):
            return subprocess.run([*run, *arguments], cwd=made, env=environment, stdout=subprocess.DEVNULL)
        call("machine", "--yes", "--machine", "machine")
        head = git(made, "rev-parse", "HEAD")
        call("run", "--quick", "--record-samples", "--python=same", "--machine", "machine", f"--set-commit-hash={head}")
        found = [path for path in Path(made).rglob("results/machine/*.json") if path.name != "machine.json"]
        text = found[0].read_text().replace(made, "/made")
    told = json.loads(text)
    told["params"].update({"python": "python", "cpu": "a processor", "os": "Linux", "ram": "1", "num_cpu": "1"})
    told["env_name"], told["python"] = "existing-python", "3.11"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "asv.json").write_text(json.dumps(told, indent=1) + "\n")


def bmf(folder):
    folder.mkdir(parents=True, exist_ok=True)
    told = {"parse": {"latency": {"value": 88.0, "lower_value": 87.4, "upper_value": 88.9}},
            "draw": {"throughput": {"value": 5.5}, "pixels": {"value": 3}}}
    (folder / "bmf.json").write_text(json.dumps(told, indent=1) + "\n")


TOOLS = {"tensorboardX": tensorboard_x, "tensorboard": tensorboard, "mlflow": mlflow, "lightning": lightning,
         "wandb": wandb, "csv": table, "pytest-benchmark": pytest_benchmark, "asv": asv, "bmf": bmf}
RESULTS = {"pytest-benchmark", "asv", "bmf"}


def main():
    if len(sys.argv) < 2 or set(sys.argv[2:]) - TOOLS.keys():
        print(f"{__doc__}\nTOOL is one of {', '.join(TOOLS)}", file=sys.stderr)
        return 2
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or TOOLS:
        place = folder / "results" if name in RESULTS else folder / name
        if name not in RESULTS:
            shutil.rmtree(place, ignore_errors=True)
        try:
            TOOLS[name](place)
            print(f"{name}: written")
        except ImportError as error:
            print(f"{name}: passed over, {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
