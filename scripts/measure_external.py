"""What the protocol of docs/external.md costs a step: a NumPy program with a bench in another process, in turns
with the same loop alone. Needs NumPy.

    python3 scripts/measure_external.py [ROUNDS]
"""

import json
import os
import pathlib
import socket
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "python" / "src"))

import numpy as np

from palimpsest import order
from palimpsest.numpy import method

EXAMPLES, WIDTH, CLASSES, BATCH, EPOCHS, STRETCH = 1197, 64, 10, 32, 40, 608


def now():
    """Wall and processor seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


class Softmax:
    """One step of softmax regression."""

    def __init__(self):
        self.weights = np.zeros((WIDTH, CLASSES), np.float32)

    def step(self, inputs, labels):
        shares = inputs @ self.weights
        shares = np.exp(shares - shares.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        shares[np.arange(len(labels)), labels] -= 1
        self.weights -= 0.1 / len(labels) * (inputs.T @ shares)


def bench(path, folder, orders):
    """The other process: one stretch of the order after another, as the bench gives them out."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(1)
    if os.fork():
        return listener
    link, _ = listener.accept()
    with link.makefile("rw") as lines:

        def ask(**message):
            lines.write(json.dumps(message) + "\n")
            lines.flush()
            return lines.readline()

        lines.readline()
        counts = {"train": EXAMPLES, "validation": 1, "test": 1}
        ask(begin={
            "protocol": 1, "workload": "w", "shape": [WIDTH], "classes": CLASSES, "examples": counts,
            "budget": EPOCHS * EXAMPLES, "evaluate_every": STRETCH, "metric": "m", "settings": {}, "seed": 0,
            "threads": 1, "folder": folder,
        })
        ask(data={"inputs": "x.npy", "labels": "y.npy"})
        for epoch in range(EPOCHS):
            for start in range(0, EXAMPLES, STRETCH):
                until = min(start + STRETCH, EXAMPLES)
                ask(train={"epoch": epoch, "order": f"order-{epoch}.npy", "from": start, "until": until,
                           "to": EXAMPLES, "epochs": EPOCHS})
        ask(facts={})
        ask(end={})
    os._exit(0)


def by_protocol(folder, orders):
    """Seconds of all steps as a program."""
    spent = []

    @method()
    def train(task):
        model = Softmax()
        task.predict = lambda inputs: inputs
        start = now()
        for _, inputs, labels in task.batches(BATCH):
            model.step(inputs, labels)
        spent.append(now() - start)

    path = f"{folder}/socket"
    listener = bench(path, folder, orders)
    train(path)
    listener.close()
    os.unlink(path)
    os.wait()
    return spent[0]


def alone(folder, orders):
    """Seconds of the same steps in a loop of one's own."""
    inputs, labels = np.load(f"{folder}/x.npy"), np.load(f"{folder}/y.npy")
    model = Softmax()
    start = now()
    for ids in orders:
        for at in range(0, EXAMPLES, BATCH):
            batch = ids[at : at + BATCH]
            model.step(inputs.take(batch, axis=0), labels.take(batch, axis=0))
    return now() - start


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    steps = EPOCHS * -(-EXAMPLES // BATCH)
    draws = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", draws.standard_normal((EXAMPLES, WIDTH)).astype(np.float32))
        np.save(f"{folder}/y.npy", draws.integers(0, CLASSES, EXAMPLES))
        orders = [order.epoch(order.integer_seed(0), epoch, EXAMPLES) for epoch in range(EPOCHS)]
        for epoch, ids in enumerate(orders):
            np.save(f"{folder}/order-{epoch}.npy", ids)
        pairs = [(by_protocol(folder, orders), alone(folder, orders)) for _ in range(rounds)]
    told, plain = (1e6 / steps * np.array([pair[which] for pair in pairs]) for which in (0, 1))
    print(f"{rounds} pairs of {steps} steps; microseconds a step: median, quartiles of what is more")
    for clock, name in enumerate(["wall", "processor"]):
        more = told[:, clock] - plain[:, clock]
        low, middle, high = np.quantile(more, [0.25, 0.5, 0.75])
        loop, by = np.median(plain[:, clock]), np.median(told[:, clock])
        print(f"{name}: alone {loop:.1f}, by the protocol {by:.1f}, more by {middle:.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
