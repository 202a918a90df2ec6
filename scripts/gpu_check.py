#!/usr/bin/env python3
"""Whether results hold on this machine's GPU, and what steps cost there: `just gpu-check`, or, where nothing can be built,

    python3 scripts/gpu_check.py PROGRAM [--device DEVICE] [--out FOLDER] [--suite SUITE] [--limit SECONDS]

PROGRAM is a built `palimpsest` with `palimpsest-engine` beside it. libtorch with CUDA is that which the program finds, or that of
the PyTorch of the Python that runs this. Into FOLDER go gpu-check.json and gpu-check.md: the device; each cell of SUITE (smoke) on the
CPU and on the device, whose examples must come in the same order (but for orders that adapt to what was trained); the device again, whose weights must be the same; milliseconds a step
beside PyTorch, eager and compiled; the most memory that the device gave. Without a GPU, or with --device cpu, the CPU is held against
itself. Ends with 0 where all is as it must be, with 1 where it is not, and with 2 where it could not run.
"""

import argparse
import datetime
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = HERE / "gpu_check" / "steps.yaml"
TORCH = "2.11"
# Seconds that compiling one network may take.
COMPILING = 60


class CannotCheck(Exception):
    """Why nothing could be checked, and what would help."""


def torch_libraries():
    """Folder with the libraries of the PyTorch that this Python has, where it is of the version that the programs are made for."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version = importlib.metadata.version("torch")
    folder = Path(spec.origin).parent / "lib"
    return folder if version.startswith(TORCH + ".") and (folder / "libtorch_cuda.so").is_file() else None


def environment():
    """The environment of the programs: one thread, and libtorch with CUDA where PyTorch has it."""
    found = torch_libraries()
    paths = [str(found)] if found else []
    paths += [path for path in [os.environ.get("LD_LIBRARY_PATH")] if path]
    return {**os.environ, "OMP_NUM_THREADS": "1", **({"LD_LIBRARY_PATH": ":".join(paths)} if paths else {})}


def ask(words, env, limit=60):
    """Standard output of a program; none where it cannot be run or fails."""
    try:
        return subprocess.run(words, env=env, capture_output=True, text=True, check=True, timeout=limit).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def gpu():
    """Name, driver and memory of the first GPU, as its driver has them."""
    said = ask(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"], None)
    return said.strip().splitlines()[0] if said and said.strip() else None


class Memory(threading.Thread):
    """The most memory of the first GPU that was in use while it ran, in MiB; none without a GPU."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.over = None, threading.Event()

    def run(self):
        while not self.over.wait(0.5):
            said = ask(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], None)
            if said is None:
                return
            used = [int(word) for word in said.split()[:1] if word.isdigit()]
            self.most = max([*used, *([self.most] if self.most is not None else [])], default=None)


class Runs:
    """The program, and how much time it has left."""

    def __init__(self, program, env, limit):
        self.program, self.env, self.until = program, env, time.monotonic() + limit

    def left(self):
        left = self.until - time.monotonic()
        if left < 1:
            raise CannotCheck("the time is over; give more with --limit")
        return left

    def of(self, suite, device, store, *more):
        """The records of a suite's runs, by what tells cells apart."""
        words = [self.program, "run", str(suite), "--device", device, "--store", store, "--seeds", "1", "--jobs", "1", *more]
        try:
            ran = subprocess.run(words, env=self.env, capture_output=True, text=True, timeout=self.left())
        except subprocess.TimeoutExpired as error:
            raise CannotCheck(f"`{' '.join(words)}` was not over in time; give more with --limit") from error
        except OSError as error:
            raise CannotCheck(f"cannot run {self.program}: {error}") from error
        records = {}
        for path in sorted(Path(store).glob("*/record.json")):
            record = json.loads(path.read_text())
            order = path.with_name("order.bin")
            record["order_sha256"] = hashlib.sha256(order.read_bytes()).hexdigest() if order.is_file() else None
            kept = ("workload", "workload_settings", "method", "settings")
            records[json.dumps([record[key] for key in kept], sort_keys=True)] = record
        if not records:
            raise CannotCheck(f"`{' '.join(words)}` left no run:\n{ran.stderr.strip()}")
        return records


def same_order(ours, theirs):
    """Whether the same examples were consumed in the same order. Commitments are not compared: they hold the device's name."""
    return ours["order_sha256"] is not None and ours["order_sha256"] == theirs["order_sha256"]


def may_differ(record):
    """Whether an order follows from what was trained, which differs from device to device in its last digits."""
    return (record.get("order") or {}).get("law") == "adaptive"


def compared(ours, others, same):
    """For each cell of `others`, whether `same` finds no difference to ours."""
    rows = []
    for key, record in others.items():
        workload, _, method, _ = json.loads(key)
        pair = (ours.get(key), record)
        fine = pair[0] is not None and record["status"] != "failed" and same(*pair)
        rows.append({"workload": workload, "method": method, "status": record["status"], "fine": fine, "error": record.get("error")})
    missing = [json.loads(key) for key in ours if key not in others]
    rows += [{"workload": w, "method": m, "status": "missing", "fine": False, "error": None} for w, _, m, _ in missing]
    return rows


def step_milliseconds(records):
    """Milliseconds of the train clock a step, by workload."""
    return {record["workload"]: 1e3 * record["clocks"]["train"] / record["steps"] for record in records.values() if record["steps"]}


def torch_steps(device, left):
    """The same networks and batches in PyTorch, milliseconds a step: eager, and compiled where that works; what `left` leaves no time for is left out."""
    sys.path.insert(0, str(HERE.parent / "benches"))
    try:
        import peer
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.set_default_device(device)
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

    def cnn():
        """That of blobs-cnn: 8-16-32 channels on 16 x 16 grey levels."""
        network, conv = peer.Cnn(), torch.nn.Conv2d
        network.conv1, network.conv2, network.conv3 = conv(1, 8, 3, padding=1), conv(8, 16, 3, padding=1), conv(16, 32, 3, padding=1)
        network.head = torch.nn.Linear(32 * 4 * 4, 10)
        return network

    tasks = {
        "digits-mlp": (peer.Mlp, lambda: torch.randn(1_197, 64), lambda: torch.arange(1_197) % 10, 128),
        "blobs-cnn": (cnn, lambda: torch.randn(2_048, 1, 16, 16), lambda: torch.arange(2_048) % 10, 128),
        "attr": (lambda: peer.Gpt(128, 33), lambda: torch.randint(32, (4_096, 32)), lambda: torch.randint(32, (4_096, 32)), 32),
    }
    result = {}
    for name, (network, inputs, labels, batch) in tasks.items():
        if left() < COMPILING:
            break
        result[name] = {"eager": torch_step(network(), inputs(), labels(), batch, wait)}
        try:
            result[name]["compiled"] = torch_step(torch.compile(network()), inputs(), labels(), batch, wait)
        except Exception as error:  # A compiler that is not there is a finding, not an end.
            result[name]["compiled"] = None
            result[name]["not_compiled"] = str(error).strip().splitlines()[0][:200]
    return result


def torch_step(model, inputs, labels, batch, wait, blocks=5, steps=20):
    """Median over blocks of AdamW steps, behind a first one that warms up."""
    import torch
    from torch.nn import functional as F

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    times = []
    for _ in range(blocks + 1):
        wait()
        start = time.perf_counter()
        for _ in range(steps):
            ids = torch.randint(len(labels), (batch,))
            loss = F.cross_entropy(model(inputs[ids]).flatten(0, -2), labels[ids].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        wait()
        times.append(1e3 * (time.perf_counter() - start) / steps)
    return statistics.median(times[1:])


def check(program, device, suite, limit):
    """All of it, as the JSON file has it."""
    env = environment()
    runs = Runs(program, env, limit)
    memory = Memory()
    memory.start()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: str(Path(folder, name))
        cpu = runs.of(suite, "cpu", at("cpu"))
        there = runs.of(suite, device, at("device"))
        again = runs.of(suite, device, at("again"))
        steps = {name: step_milliseconds(runs.of(STEPS, name, at(f"steps-{name.partition(':')[0]}"))) for name in dict.fromkeys(["cpu", device])}
    peers = {name: torch_steps(name, lambda: runs.until - time.monotonic()) for name in dict.fromkeys(["cpu", device])}
    memory.over.set()
    weights = lambda a, b: a["parameters_sha256"] == b["parameters_sha256"]
    of = next(iter(there.values()))["environment"]
    return {
        "version": 1,
        "date": datetime.date.today().isoformat(),
        "program": of["palimpsest"] + (f", {of['git_commit']}" if of.get("git_commit") else "") + (" with changes" if of.get("git_dirty") else ""),
        "libtorch": of["libtorch"],
        "cpu": of["cpu"],
        "device": of["device"],
        "gpu": gpu() if device != "cpu" else None,
        "suite": str(suite),
        "orders": compared(cpu, there, lambda a, b: same_order(a, b) or may_differ(b)),
        "adapted_otherwise": sum(may_differ(record) and not same_order(cpu[key], record) for key, record in there.items() if key in cpu),
        "again": compared(there, again, weights),
        "same_weights_as_cpu": sum(weights(cpu[key], record) for key, record in there.items() if key in cpu),
        "step_milliseconds": steps,
        "torch_step_milliseconds": peers,
        "gpu_memory_mib": memory.most,
        "seconds": round(time.monotonic() - start, 1),
    }


def markdown(found):
    """The same for people."""
    number = lambda value: "–" if value is None else f"{value:.3g}"
    count = lambda rows: f"{sum(row['fine'] for row in rows)} of {len(rows)}"
    lines = [
        f"# GPU check, {found['date']}",
        "",
        f"Device `{found['device']}` ({found['gpu'] or found['cpu']}), libtorch {found['libtorch']}, program {found['program']}, {found['seconds']} s.",
        "",
        f"- Cells of `{found['suite']}` whose order is that of the CPU: {count(found['orders'])}"
        + (f" (of them {found['adapted_otherwise']} adapt to what was trained and came to another, as they may)." if found["adapted_otherwise"] else "."),
        f"- Cells that came to the same weights twice on the device: {count(found['again'])}.",
        f"- Cells whose weights are the CPU's, which nobody promises on another device: {found['same_weights_as_cpu']} of {len(found['orders'])}.",
    ]
    if found["gpu_memory_mib"] is not None:
        lines.append(f"- Most memory of the GPU in use, by everybody on it: {found['gpu_memory_mib']} MiB.")
    wrong = [(what, row) for what in ("orders", "again") for row in found[what] if not row["fine"]]
    lines += [f"- **{row['method']} on {row['workload']}** ({what}): {row['status']}{': ' + row['error'] if row['error'] else ''}" for what, row in wrong]
    lines += ["", "| step of | device | Palimpsest, ms | PyTorch eager, ms | PyTorch compiled, ms |", "| --- | --- | --- | --- | --- |"]
    for device, steps in found["step_milliseconds"].items():
        for workload, ours in steps.items():
            theirs = ((found["torch_step_milliseconds"] or {}).get(device) or {}).get(workload) or {}
            lines.append(f"| `{workload}` | {device} | {number(ours)} | {number(theirs.get('eager'))} | {number(theirs.get('compiled'))} |")
    return "\n".join(lines) + "\n"


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter, epilog=__doc__)
    parser.add_argument("program", help="a built `palimpsest`")
    parser.add_argument("--device", help="cuda, cuda:N or cpu; without it, cuda where the program finds a GPU, else cpu")
    parser.add_argument("--out", default="gpu-check", help="where the two files go (gpu-check)")
    parser.add_argument("--suite", default="smoke", help="whose cells run (smoke)")
    parser.add_argument("--limit", type=float, default=480, help="seconds that all may take (480)")
    args = parser.parse_args(words)
    device = args.device or ("cuda" if gpu() else "cpu")
    try:
        found = check(args.program, device, args.suite, args.limit)
    except CannotCheck as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 2
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu-check.json").write_text(json.dumps(found, indent=2) + "\n")
    (out / "gpu-check.md").write_text(markdown(found))
    print(markdown(found))
    return 0 if all(row["fine"] for row in found["orders"] + found["again"]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
