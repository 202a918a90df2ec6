"""Softmax regression by SGD with the standard library alone: an arm of the bench in one function."""

import json
import math
import pathlib

import palimpsest


def logits(weights, row):
    return [sum(map(float.__mul__, unit, row), bias) for *unit, bias in weights]


def probabilities(outputs):
    top = max(outputs)
    raised = [math.exp(value - top) for value in outputs]
    return [value / sum(raised) for value in raised]


@palimpsest.method(lr=0.1, batch_size=32)
def train(task, lr, batch_size):
    width = math.prod(task.shape)
    weights = [[0.0] * (width + 1) for _ in range(task.classes)]
    task.parameters = task.classes * (width + 1)
    task.predict = lambda inputs: [logits(weights, list(row)) for row in inputs]

    # JSON tells a number in as many digits as it takes, so that the bits come back.
    def keep(path):
        pathlib.Path(path).write_text(json.dumps(weights))

    def restore(path):
        weights[:] = json.loads(pathlib.Path(path).read_text())

    task.keep, task.restore = keep, restore
    for ids, inputs, labels in task.batches(batch_size):
        gradient = [[0.0] * (width + 1) for _ in weights]
        loss = 0.0
        for row, label in zip(inputs, labels):
            row = list(row)
            shares = probabilities(logits(weights, row))
            loss -= math.log(max(shares[label], 1e-30)) / len(ids)
            for k, (slope, share) in enumerate(zip(gradient, shares)):
                error = (share - (k == label)) / len(ids)
                for place, value in enumerate(row):
                    slope[place] += error * value
                slope[-1] += error
        for unit, slope in zip(weights, gradient):
            for place, value in enumerate(slope):
                unit[place] -= lr * value
        task.loss = loss


if __name__ == "__main__":
    train()
