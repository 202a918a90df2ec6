"""Reference values of order estimates on small polynomial problems.

    python3 estimates.py > estimates.tsv      (PyTorch 2.11, NumPy 2.4)

Three parameters, four items; item i has the loss b.t + t'At/2 + (u.t)^3/6 + (w.t)^4/24 with dyadic coefficients.
`rational`: SGD on the quadratic part in exact rationals. `torch`: torch.optim in f64. `estimator`: the formulas of
grid0, taylor1 and frozen Adam written out in NumPy f64. One row per order, in lexicographic order of permutations.
"""

import itertools
from fractions import Fraction

import numpy as np
import torch

B = [[1, -2, 3], [-3, 1, 2], [2, 4, -1], [-1, -2, -5]]  # / 8
A = [[[6, 2, -1], [2, 4, 1], [-1, 1, 3]], [[3, -2, 1], [-2, 7, 0], [1, 0, 2]],
     [[5, 1, 2], [1, 2, -1], [2, -1, 6]], [[2, 0, -2], [0, 5, 1], [-2, 1, 8]]]  # / 8
U = [[3, -1, 2], [1, 2, -2], [-2, 1, 3], [2, 3, 1]]  # / 4
W = [[1, 2, -1], [-2, 1, 1], [3, 0, -1], [1, -1, 2]]  # / 4
START = [4, -6, 5]  # / 8
ORDERS = list(itertools.permutations(range(4)))


def row(name, values):
    print(name, *(repr(float(v)) for v in values), sep="\t")


def rational(order, rate=Fraction(1, 8)):
    t = [Fraction(s, 8) for s in START]
    for i in order:
        g = [Fraction(B[i][j], 8) + sum(Fraction(A[i][j][k], 8) * t[k] for k in range(3)) for j in range(3)]
        t = [a - rate * b for a, b in zip(t, g)]
    for v in t:
        assert Fraction(float(v)) == v
    return t


def tensors(of, scale):
    return torch.tensor(of, dtype=torch.float64) / scale


TB, TA, TU, TW, T0 = tensors(B, 8), tensors(A, 8), tensors(U, 4), tensors(W, 4), tensors(START, 8)


def loss(i, t):
    return TB[i] @ t + t @ TA[i] @ t / 2 + (TU[i] @ t) ** 3 / 6 + (TW[i] @ t) ** 4 / 24


def by_torch(make, order, warm):
    t = T0.clone().requires_grad_(True)
    optimizer = make([t])

    def step(i):
        optimizer.zero_grad()
        loss(i, t).backward()
        optimizer.step()

    for i in warm:
        step(i)
    if warm:
        with torch.no_grad():
            t.copy_(T0)
    for i in order:
        step(i)
    return t.detach().numpy()


def grad(i, t):
    b, a, u, w = (x[i].numpy() for x in (TB, TA, TU, TW))
    return b + a @ t + u * (u @ t) ** 2 / 2 + w * (w @ t) ** 3 / 6


def hess(i, t):
    a, u, w = (x[i].numpy() for x in (TA, TU, TW))
    return a + np.outer(u, u) * (u @ t) + np.outer(w, w) * (w @ t) ** 2 / 2


def adam(gradient, lr=0.05, b1=0.9, b2=0.999, eps=1e-8):
    """Follows `gradient(step, theta)`; returns the path and the state before each step."""
    t, m, v, path, states = T0.numpy().copy(), np.zeros(3), np.zeros(3), [], []
    for n in range(4):
        path.append(t.copy())
        states.append((m.copy(), v.copy()))
        g = gradient(n, t)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        t = t - lr * (m / (1 - b1 ** (n + 1))) / (np.sqrt(v / (1 - b2 ** (n + 1))) + eps)
    return t, path, states


def frozen(order, lr=0.05, b1=0.9, b2=0.999, eps=1e-8):
    """Update and derivative in the reference's state; the derivative by complex steps."""
    _, path, states = adam(lambda n, t: grad(n, t))
    t = T0.numpy().copy()
    for n, i in enumerate(order):
        (m, v), c1, c2 = states[n], 1 - b1 ** (n + 1), 1 - b2 ** (n + 1)
        g = grad(i, path[n]) + 1e-30j * (hess(i, path[n]) @ (t - path[n]))
        update = ((b1 * m + (1 - b1) * g) / c1) / (np.sqrt((b2 * v + (1 - b2) * g * g) / c2) + eps)
        t = t - lr * (update.real + update.imag / 1e-30)
    return t


MAKERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.125),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.0625, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.0625, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, weight_decay=0.1),
}
for order in ORDERS:
    row("rational", rational(order))
for name, make in MAKERS.items():
    for warm in ([], [2, 0, 3]):
        for order in ORDERS:
            row(f"torch {name} {'warm' if warm else 'cold'}", by_torch(make, order, warm))
path = adam(lambda n, t: grad(n, t))[1]
for order in ORDERS:
    row("estimator grid0", adam(lambda n, t: grad(order[n], path[n]))[0])
for order in ORDERS:
    expand = lambda n, t: grad(order[n], path[n]) + hess(order[n], path[n]) @ (t - path[n])
    row("estimator taylor1", adam(expand)[0])
for order in ORDERS:
    row("estimator taylor-frozen", frozen(order))
