"""A network of two hidden layers in JAX."""

import jax
import jax.numpy as jnp
import numpy as np

from palimpsest.numpy import method


@jax.jit
def outputs(layers, inputs):
    values = inputs.reshape(len(inputs), -1)
    for weights, bias in layers[:-1]:
        values = jax.nn.relu(values @ weights + bias)
    weights, bias = layers[-1]
    return values @ weights + bias


def loss(layers, inputs, labels):
    shares = jax.nn.log_softmax(outputs(layers, inputs))
    return -jnp.take_along_axis(shares, labels[:, None], 1).mean()


@jax.jit
def step(layers, inputs, labels, lr):
    value, gradients = jax.value_and_grad(loss)(layers, inputs, labels)
    return value, jax.tree.map(lambda old, slope: old - lr * slope, layers, gradients)


@method(lr=0.1, batch_size=32)
def train(task, lr, batch_size):
    widths = [int(np.prod(task.shape)), 128, 128, task.classes]
    keys = jax.random.split(jax.random.key(task.seed), 3)
    layers = [
        (jax.random.normal(key, (inner, outer)) * (2 / inner) ** 0.5, jnp.zeros(outer))
        for key, inner, outer in zip(keys, widths, widths[1:])
    ]
    task.parameters = sum(values.size for values in jax.tree.leaves(layers))
    # Compiled before there are data: in the loop it would be on the train clock.
    # The last step of an epoch may be short, and so may that of a budget that ends within one.
    lasts = [count % batch_size or batch_size for count in (task.examples, task.budget % task.examples)]
    for size in {batch_size, *lasts}:
        jax.block_until_ready(step(layers, np.zeros((size, *task.shape), np.float32), np.zeros(size, np.int64), 0.0))
    task.predict = lambda inputs: np.asarray(outputs(layers, inputs))
    for ids, inputs, labels in task.batches(batch_size):
        task.loss, layers = step(layers, inputs, labels, lr * (1 - task.progress))


train.versions["jax"] = jax.__version__

if __name__ == "__main__":
    train()
