"""A script that runs by itself and leaves a verifiable run: `python3 recorded.py`, with `palimpsest` on PATH.

It learns what own_data.py does, without a suite: `palimpsest report ring` then shows all that were recorded.
"""

import argparse

import own_data
import palimpsest
from own_data import probability, split


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", default="runs")
    given = parser.parse_args()

    data, held_out, weights = split("train", 2000), split("validation", 1000), [0.0] * 3

    def accuracy():
        right = [(probability(weights, x) > 0.5) == label for x, label in held_out]
        return sum(right) / len(right)

    with palimpsest.record(
        workload="ring", metric="accuracy", target=0.85, target_origin="assumed", examples=len(data), batch_size=20,
        epochs=4, evaluate_every=1000, seed=given.seed, settings={"lr": given.lr}, store=given.store,
        files=[__file__, own_data.__file__],
    ) as run:
        run.evaluate(accuracy=accuracy())
        for ids in run.batches():
            gradient = [0.0] * 3
            for features, label in (data[k] for k in ids):
                error = (probability(weights, features) - label) / len(ids)
                gradient = [slope + error * value for slope, value in zip(gradient, features)]
            weights[:] = [weight - given.lr * slope for weight, slope in zip(weights, gradient)]
            if run.due():
                run.evaluate(accuracy=accuracy())
    print(f"run {run.id}: {run.status}; `palimpsest verify {run.id} --store {run.store}` checks it")


if __name__ == "__main__":
    main()
