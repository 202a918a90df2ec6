"""Softmax regression with momentum and noise, slow enough to be killed; its generator is a part of what is kept."""

import math
import os
import pathlib
import pickle
import random
import time

import palimpsest

pathlib.Path(os.environ["NOTE"]).write_text(str(os.getpid()))


def ring(name, count):
    draw = random.Random(name)
    radii = [math.hypot(draw.uniform(-1, 1), draw.uniform(-1, 1)) for _ in range(count)]
    return [([1.0, radius, radius * radius], int(0.4 < radius < 0.9)) for radius in radii]


@palimpsest.method(lr=0.1, batch_size=8)
def train(task, lr, batch_size):
    width, classes = (3, 2) if task.own else (math.prod(task.shape), task.classes)
    noise = random.Random(task.seed)
    weights, moved = ([[0.0] * width for _ in range(classes)] for _ in range(2))
    task.parameters = width * classes

    def outputs(row):
        return [sum(map(float.__mul__, unit, row)) for unit in weights]

    def accuracy(split):
        points = ring(split, 100)
        right = [outputs(row).index(max(outputs(row))) == label for row, label in points]
        return sum(right) / len(right)

    def keep(path):
        state = [weights, moved, noise.getstate(), task.facts]
        pathlib.Path(path).write_bytes(pickle.dumps(state))

    def restore(path):
        weights[:], moved[:], generator, task.facts = pickle.loads(pathlib.Path(path).read_bytes())
        noise.setstate(generator)

    def batches():
        if not task.own:
            yield from ((inputs, labels) for _, inputs, labels in task.batches(batch_size))
            return
        points = ring("train", task.examples)
        for ids in task.ids(batch_size):
            yield [points[k][0] for k in ids], [points[k][1] for k in ids]

    task.keep, task.restore = keep, restore
    task.save = lambda path: pathlib.Path(path).write_text(repr(weights))
    task.predict = lambda inputs: [outputs(list(row)) for row in inputs]
    task.evaluate = accuracy
    task.facts["steps"] = 0
    for inputs, labels in batches():
        loss = 0.0
        slopes = [[0.0] * width for _ in weights]
        for row, label in zip(inputs, labels):
            row, told = list(row), outputs(list(row))
            raised = [math.exp(value - max(told)) for value in told]
            loss -= math.log(raised[label] / sum(raised)) / len(labels)
            for k, slope in enumerate(slopes):
                error = raised[k] / sum(raised) - (k == label) + noise.gauss(0, 0.1)
                for place, value in enumerate(row):
                    slope[place] += error * value / len(labels)
        for unit, moves, slope in zip(weights, moved, slopes):
            for place, value in enumerate(slope):
                moves[place] = 0.9 * moves[place] - lr * value
                unit[place] += moves[place]
        task.loss = loss
        task.facts["steps"] += 1
        time.sleep(0.001)


if __name__ == "__main__":
    train()
