"""Data and evaluation of one's own, with the standard library alone: points in or out of a ring, by logistic regression."""

import math
import random

import palimpsest


def split(name, count):
    """The points of a split: fixed, whatever the run's seed."""
    draw = random.Random(name)
    radii = [math.hypot(draw.uniform(-1, 1), draw.uniform(-1, 1)) for _ in range(count)]
    return [([1.0, radius, radius * radius], 0.4 < radius < 0.9) for radius in radii]


def probability(weights, features):
    return 1 / (1 + math.exp(-sum(map(float.__mul__, weights, features))))


@palimpsest.method(lr=0.5, momentum=0.0, batch_size=20)
def train(task, lr, momentum, batch_size):
    data = split("train", task.examples)
    held_out = {name: split(name, 1000) for name in ("validation", "test")}
    weights, moved = [0.0] * 3, [0.0] * 3
    task.parameters = len(weights)

    def accuracy(name):
        right = [(probability(weights, x) > 0.5) == label for x, label in held_out[name]]
        return sum(right) / len(right)

    task.evaluate = accuracy
    for ids in task.ids(batch_size):
        gradient = [0.0] * 3
        for features, label in (data[k] for k in ids):
            error = (probability(weights, features) - label) / len(ids)
            gradient = [slope + error * value for slope, value in zip(gradient, features)]
        moved = [momentum * step - lr * slope for step, slope in zip(moved, gradient)]
        weights = [weight + step for weight, step in zip(weights, moved)]


if __name__ == "__main__":
    train()
