"""Cost of a training step through the harness, beside the same network in PyTorch.

Both run on one thread, in a process each, and take turns in blocks of steps: `cargo bench --bench step -- serve`
waits while Python trains, and Python while it does. Printed are medians, and the median, minimum and maximum over the
rounds of harness / PyTorch. Bounds: a digits-mlp step at most 0.45 of eager AdamW and 0.6 of PyTorch's best variant; a
mnist-cnn step at most 0.8 of eager AdamW and 1.0 of its best. Run it with `just micro-peer`.
"""

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
DIGITS, MNIST = "digits-mlp", "mnist-cnn"
EXAMPLES = {DIGITS: 1_197, MNIST: 5_400}


class Mlp(nn.Module):
    """64-128-128-10 with ReLU."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Cnn(nn.Module):
    """Three 3 x 3 convolutions of 16-32-64 channels, pooled after the first two, and a linear head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in ((1, 16), (16, 32), (32, 64))
        )
        self.head = nn.Linear(64 * 7 * 7, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.head(F.relu(self.conv3(x)).flatten(1))


def torch_loop(task: str, batch: int, channels_last: bool = False, **adamw) -> Callable[[int], float]:
    """A training loop as PyTorch's examples write it; the result maps a number of steps to milliseconds per step."""
    torch.manual_seed(1)
    model = Mlp() if task == DIGITS else Cnn()
    inputs = torch.randn(EXAMPLES[task], *((64,) if task == DIGITS else (1, 28, 28)))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(EXAMPLES[task]) % 10
    optimizer = torch.optim.AdamW(model.parameters(), **adamw)

    def block(steps: int) -> float:
        start, left = time.perf_counter(), steps
        while left:
            for ids in torch.randperm(len(labels)).split(batch)[:left]:
                loss = F.cross_entropy(model(inputs[ids]), labels[ids])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                left -= 1
        return 1e3 * (time.perf_counter() - start) / steps

    return block


class Harness:
    """The Rust side, which answers `task batch steps` with milliseconds per step."""

    def __init__(self):
        command = ["cargo", "bench", "--quiet", "--bench", "step", "--", "serve"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def block(self, task: str, batch: int, steps: int) -> float:
        self.process.stdin.write(f"{task} {batch} {steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("peer: the Rust side stopped; run `cargo bench --bench step` to see why")
        return float(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(harness: Harness, task: str, batch: int, steps: int, rounds: int, variants: dict[str, dict]) -> None:
    """Lets the harness and every variant of PyTorch take turns and prints what a step costs."""
    loops = {name: torch_loop(task, batch, **options) for name, options in variants.items()}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in loops}
    ratios: dict[str, list[float]] = {name: [] for name in loops}
    for round_number in range(rounds + 1):
        for name, loop in loops.items():
            pair = {"ours": lambda: harness.block(task, batch, steps), "theirs": lambda: loop(steps)}
            # Who goes first alternates, as other load on the machine drifts.
            order = ("ours", "theirs") if round_number % 2 else ("theirs", "ours")
            milliseconds = {side: pair[side]() for side in order}
            if round_number:  # The first round warms up.
                ours.append(milliseconds["ours"])
                theirs[name].append(milliseconds["theirs"])
                ratios[name].append(milliseconds["ours"] / milliseconds["theirs"])
    median = statistics.median
    print(f"{task}, batch {batch}: harness {median(ours):.4g} ms a step, {rounds} rounds of {steps} steps")
    for name in loops:
        print(
            f"  PyTorch {torch.__version__} {name}: {median(theirs[name]):.4g} ms; "
            f"ratio {median(ratios[name]):.3f} ({min(ratios[name]):.3f} to {max(ratios[name]):.3f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--task", choices=[DIGITS, MNIST], help="only this one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    harness = Harness()
    if args.task != MNIST:
        digits = {"eager": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        for batch in (32, 128):
            compare(harness, DIGITS, batch, 200, args.rounds, digits)
    if args.task != DIGITS:
        mnist = {
            "eager": {},
            "fused": {"fused": True},
            "channels_last": {"channels_last": True},
            "channels_last, fused": {"channels_last": True, "fused": True},
        }
        compare(harness, MNIST, 256, 3, args.rounds, mnist)
    harness.close()
    print(f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
