"""The same regression with NumPy."""

import numpy as np

from palimpsest.numpy import method


@method(lr=0.1, batch_size=32)
def train(task, lr, batch_size):
    weights = np.zeros((int(np.prod(task.shape)), task.classes), np.float32)
    bias = np.zeros(task.classes, np.float32)
    task.parameters = weights.size + bias.size
    task.predict = lambda inputs: inputs.reshape(len(inputs), -1) @ weights + bias
    for ids, inputs, labels in task.batches(batch_size):
        inputs = inputs.reshape(len(ids), -1)
        shares = inputs @ weights + bias
        shares = np.exp(shares - shares.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        own = (np.arange(len(ids)), labels)
        task.loss = -np.log(shares[own]).mean()
        shares[own] -= 1
        weights -= lr / len(ids) * (inputs.T @ shares)
        bias -= lr / len(ids) * shares.sum(0)


if __name__ == "__main__":
    train()
