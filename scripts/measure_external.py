"""What the package in python/ costs, in turns with the same work without it. Needs NumPy, and PyTorch where named.

    python3 scripts/measure_external.py numpy [ROUNDS]    the protocol of docs/external.md: a NumPy program with a
                                                          bench in another process, and the same loop alone
    python3 scripts/measure_external.py torch [ROUNDS]    the same in PyTorch
    python3 scripts/measure_external.py loader [ROUNDS]   a DataLoader over BatchSampler, counted, and one that shuffles
    python3 scripts/measure_external.py order [ROUNDS]    an epoch of 10^7 ids, and its hash
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
from palimpsest.sampler import BatchSampler

EXAMPLES, WIDTH, CLASSES, BATCH, EPOCHS, STRETCH = 1197, 64, 10, 32, 40, 608


def now():
    """Wall and processor seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


class Softmax:
    """Softmax regression, and how examples are taken without a bench."""

    def __init__(self):
        self.weights = np.zeros((WIDTH, CLASSES), np.float32)

    def step(self, inputs, labels):
        shares = inputs @ self.weights
        shares = np.exp(shares - shares.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        shares[np.arange(len(labels)), labels] -= 1
        self.weights -= 0.1 / len(labels) * (inputs.T @ shares)

    def load(self, array):
        return array

    def take(self, values, ids):
        return values.take(ids, axis=0)


class TorchSoftmax:
    """The same in PyTorch."""

    def __init__(self):
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        self.layer = torch.nn.Linear(WIDTH, CLASSES)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), lr=0.1)

    def step(self, inputs, labels):
        loss = self.torch.nn.functional.cross_entropy(self.layer(self.load(inputs)), self.load(labels))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def load(self, array):
        return self.torch.as_tensor(array)

    def take(self, values, ids):
        return values[ids]


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


def by_protocol(model, folder, orders):
    """Seconds of all steps as a program."""
    spent = []

    @method()
    def train(task):
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


def alone(model, folder, orders):
    """Seconds of the same steps in a loop of one's own."""
    inputs, labels = (model.load(np.load(f"{folder}/{name}.npy")) for name in "xy")
    orders = [model.load(ids.astype(np.int64)) for ids in orders]
    start = now()
    for ids in orders:
        for at in range(0, EXAMPLES, BATCH):
            batch = ids[at : at + BATCH]
            model.step(model.take(inputs, batch), model.take(labels, batch))
    return now() - start


def protocol(model, rounds):
    """Pairs of seconds, by the protocol and alone, of so many steps."""
    draws = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", draws.standard_normal((EXAMPLES, WIDTH)).astype(np.float32))
        np.save(f"{folder}/y.npy", draws.integers(0, CLASSES, EXAMPLES))
        orders = [order.epoch(order.integer_seed(0), epoch, EXAMPLES) for epoch in range(EPOCHS)]
        for epoch, ids in enumerate(orders):
            np.save(f"{folder}/order-{epoch}.npy", ids)
        alone(model, folder, orders)
        pairs = [(by_protocol(model, folder, orders), alone(model, folder, orders)) for _ in range(rounds)]
    return pairs, EPOCHS * -(-EXAMPLES // BATCH)


def loaders(rounds):
    """Pairs of seconds of an epoch of a DataLoader, over our sampler and shuffled by itself, and its steps."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    torch.set_num_threads(1)
    data = TensorDataset(torch.zeros(60_000, 8))
    sampler = BatchSampler(len(data), order.integer_seed(0), BATCH)
    ours, theirs = DataLoader(data, batch_sampler=sampler), DataLoader(data, batch_size=BATCH, shuffle=True)

    def seconds(batches):
        start = now()
        for _ in batches:
            pass
        return now() - start

    return [(seconds(sampler.consuming(ours)), seconds(theirs)) for _ in range(rounds)], len(ours)


def orders(rounds):
    """Prints seconds of an epoch of 10^7 ids, and of its hash."""
    spent = []
    for epoch in range(rounds):
        start = now()
        ids = order.epoch(order.integer_seed(0), epoch, 10**7)
        made = now()
        order.order_hash(ids)
        spent.append((made - start, now() - made))
    for what, name in enumerate(["10^7 ids", "their hash"]):
        for clock, kind in enumerate(["wall", "processor"]):
            seconds = [turn[what][clock] for turn in spent]
            print(f"{name}, {kind}: {np.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    if what == "order":
        return orders(rounds)
    if what == "loader":
        pairs, steps = loaders(rounds)
    elif what in ("numpy", "torch"):
        pairs, steps = protocol({"numpy": Softmax, "torch": TorchSoftmax}[what](), rounds)
    else:
        sys.exit(__doc__)
    ours, plain = (1e6 / steps * np.array([pair[which] for pair in pairs]) for which in (0, 1))
    print(f"{rounds} pairs of {steps} steps; microseconds a step: median, quartiles of what is more")
    for clock, name in enumerate(["wall", "processor"]):
        more = ours[:, clock] - plain[:, clock]
        low, middle, high = np.quantile(more, [0.25, 0.5, 0.75])
        loop, by = np.median(plain[:, clock]), np.median(ours[:, clock])
        print(f"{name}: without {loop:.1f}, with {by:.1f}, more by {middle:.1f} ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()
