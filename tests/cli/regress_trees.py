"""The training of a made-up project: no data and no model, only what a gate can see of either."""

import hashlib
import random

import palimpsest

LEVEL = 0.9
SLOWER = 1.0


def reordered(ids):
    return ids


@palimpsest.method(batch_size=25)
def train(task, batch_size):
    noise = random.Random(task.seed).gauss(0, 0.004)
    consumed = hashlib.sha256()
    task.parameters = 1
    task.evaluate = lambda split: LEVEL * (task.progress**0.2 + noise)
    for ids in task.ids(batch_size):
        for k in reordered(list(ids)):
            consumed.update(b"%d " % k)
    task.facts = {"consumed": consumed.hexdigest(), "slower": SLOWER}


train()
