"""Order estimates for a model of your own: a small MLP in PyTorch, from training to a ranking.

What you need is plain arrays, so that everything here can be written in JAX as well: `gradient` is
jax.grad of the loss of a batch over one flat vector (jax.flatten_util.ravel_pytree), `curvature` is
jax.jvp of that gradient along a column of the basis, and orders, optimiser state and file formats
are the same. The arrays, all float64 (p parameters in one vector, k directions, M orders, T steps):

    theta0.npy     [p]            where every order starts: after a warm-up
    centre.npy     [p]            where gradients and curvature are taken: amid the trajectories
    gradients.npy  [items, p]     gradient of every batch's loss at the centre
    basis.npy      [p, k]         orthonormal directions in which orders differ: from the pilots
    curvature.npy  [items, p, k]  Hessian of every batch's loss at the centre times the basis
    loss_grad.npy  [p]            gradient of the held-out loss at the centre
    loss_curv.npy  [p, k]         Hessian of the held-out loss at the centre times the basis
    m.npy, v.npy   [p]            state of Adam at theta0 (SGD: its momentum_buffer)
    orders.npy     [M, T]         numbers of the batches, a row per order; whole numbers

An item is what a step consumes: batch i is always the same examples, orders shuffle the batches.

    python estimates_from_pytorch.py [--palimpsest PROGRAM] [--folder FOLDER]
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from torch.func import functional_call

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

BATCHES, BATCH = 40, 16  # items, examples in each
PILOTS = 16  # trainings that are used for the set-up
K = 24  # directions
CHECKED = 32  # orders that are really retrained, which the estimator never saw
LR, BETAS, EPS = 3e-3, (0.9, 0.999), 1e-8

# ---- Your own training: a model, batches, a held-out set, an optimiser that is warm. ------------

generator = torch.Generator().manual_seed(0)


def draw(*shape):
    return torch.randn(*shape, generator=generator)


means = 1.2 * draw(4, 8)


def data(count):
    labels = torch.randint(4, (count,), generator=generator)
    return means[labels] + draw(count, 8), labels


def layer(inputs, outputs):
    made = torch.nn.Linear(inputs, outputs)
    with torch.no_grad():
        made.weight.copy_(draw(outputs, inputs) / inputs**0.5)
        made.bias.zero_()
    return made


model = torch.nn.Sequential(layer(8, 24), torch.nn.Tanh(), layer(24, 4))
batches = [data(BATCH) for _ in range(BATCHES)]
held_out = data(1024)
names = [name for name, _ in model.named_parameters()]
shapes = [parameter.shape for parameter in model.parameters()]
p = sum(shape.numel() for shape in shapes)


def loss(flat, batch):
    """Mean loss of a batch as a function of one flat vector: the order of the parameters is yours,
    as long as every array keeps to it."""
    parts = torch.split(flat, [shape.numel() for shape in shapes])
    named = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes)}
    inputs, labels = batch
    return torch.nn.functional.cross_entropy(functional_call(model, named, (inputs,)), labels)


def train(start, state, order):
    """True training with torch.optim from `start` and Adam's state; returns both at the end."""
    flat = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([flat], lr=LR, betas=BETAS, eps=EPS)
    if state:
        optimizer.state[flat] = {key: value.clone() for key, value in state.items()}
    for item in order:
        optimizer.zero_grad()
        loss(flat, batches[item]).backward()
        optimizer.step()
    return flat.detach(), optimizer.state[flat]


def shuffled():
    return torch.randperm(BATCHES, generator=generator).tolist()


initial = torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])
theta0, state = train(initial, None, shuffled() + shuffled())  # two epochs of warm-up

# ---- Set-up: some pilot trainings say where orders lead and in which directions they differ. ----

ends = torch.stack([train(theta0, state, shuffled())[0] for _ in range(PILOTS)])
# The surrogate is most exact around where the trajectories pass: halfway to the pilots' mean end.
centre = (theta0 + ends.mean(0)) / 2
# Directions: the way that all orders go, how the pilots' ends differ, and then how gradients of
# batches differ at the centre, the strongest first; QR makes them orthonormal.


def gradient(flat, batch):
    flat = flat.clone().requires_grad_(True)
    return torch.autograd.grad(loss(flat, batch), flat)[0]


gradients = torch.stack([gradient(centre, batch) for batch in batches])
way = (ends.mean(0) - theta0)[:, None]
spread = torch.linalg.svd(ends - ends.mean(0), full_matrices=False)[2][: PILOTS - 1].T
noise = torch.linalg.svd(gradients - gradients.mean(0), full_matrices=False)[2].T
basis = torch.linalg.qr(torch.cat([way, spread, noise], 1)[:, :K])[0]


def curvature(batch):
    """H Q, exact, by differentiating the gradient once more: [p, k]. Where double backward is not
    to be had, secants do as well: (gradient(centre + e * q) - gradient(centre - e * q)) / (2 * e)."""
    flat = centre.clone().requires_grad_(True)
    first = torch.autograd.grad(loss(flat, batch), flat, create_graph=True)[0]
    columns = [torch.autograd.grad(first, flat, q, retain_graph=True)[0] for q in basis.T]
    return torch.stack(columns, 1)


# ---- Export, estimate, and hold the estimates against true retraining. --------------------------

parser = argparse.ArgumentParser()
parser.add_argument("--palimpsest", default="palimpsest", help="the program")
parser.add_argument("--folder", default=None, help="where the arrays go; a temporary folder")
options = parser.parse_args()
folder = pathlib.Path(options.folder or tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)

orders = np.array([shuffled() for _ in range(CHECKED)], dtype=np.int64)
arrays = {
    "theta0": theta0,
    "centre": centre,
    "gradients": gradients,
    "curvature": torch.stack([curvature(batch) for batch in batches]),
    "basis": basis,
    "loss_grad": gradient(centre, held_out),
    "loss_curv": curvature(held_out),
    "m": state["exp_avg"],
    "v": state["exp_avg_sq"],
}
for name, array in arrays.items():
    np.save(folder / f"{name}.npy", np.ascontiguousarray(array.numpy()))
np.save(folder / "orders.npy", orders)
steps = int(state["step"])
(folder / "opt.yaml").write_text(
    f"{{kind: adam, lr: {LR}, betas: {list(BETAS)}, eps: {EPS},"
    f" state: {{m: m.npy, v: v.npy, step: {steps}}}}}\n"
)
at_centre = loss(centre, held_out).item()
command = [options.palimpsest, "estimate", "files"]
for option, name in [
    ("theta0", "theta0.npy"),
    ("centre", "centre.npy"),
    ("gradients", "gradients.npy"),
    ("curvature", "curvature.npy"),
    ("basis", "basis.npy"),
    ("optimizer", "opt.yaml"),
    ("orders", "orders.npy"),
    ("loss-grad", "loss_grad.npy"),
    ("loss-curvature", "loss_curv.npy"),
    ("out", "est.npy"),
]:
    command += [f"--{option}", str(folder / name)]
command += ["--loss-at-centre", repr(at_centre), "--force", "--json"]
answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
estimated = torch.from_numpy(np.load(folder / "est.npy"))
predicted = np.array([row["predicted_loss"] for row in answer["results"]])

truth = torch.stack([train(theta0, state, order)[0] for order in orders.tolist()])
true_loss = np.array([loss(end, held_out).item() for end in truth])
surrogate_loss = np.array([loss(end, held_out).item() for end in estimated])


def spearman(a, b):
    rank = [np.argsort(np.argsort(values)) for values in (a, b)]
    return np.corrcoef(*rank)[0, 1]


def relative(guess):
    """Error over the distance of the true ends from their mean, the root mean square over orders."""
    return ((guess - truth).norm() / (truth - truth.mean(0)).norm()).item()


null = ends.mean(0).expand_as(truth)  # predicts the pilots' mean for every order
print(f"{answer['estimator']}: p = {p}, k = {K}, {BATCHES} batches, {CHECKED} unseen orders")
print(f"relative error of the parameters: {relative(estimated):.3f}; null {relative(null):.3f}")
print(f"Spearman, loss predicted by the quadratic:       {spearman(predicted, true_loss):.3f}")
print(f"Spearman, true loss at estimated parameters:     {spearman(surrogate_loss, true_loss):.3f}")
print("Spearman, null: none, it predicts one loss for all orders")
spread = true_loss.std()
print(
    f"mean absolute error of the predicted loss, in standard deviations of the true one:"
    f" {abs(predicted - true_loss).mean() / spread:.3f};"
    f" null {abs(loss(null[0], held_out).item() - true_loss).mean() / spread:.3f}"
)
best = answer["ranking"][0]
print(f"the order estimated best comes {int((true_loss < true_loss[best]).sum()) + 1} of {CHECKED}")
