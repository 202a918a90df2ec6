"""Order estimates for a model of your own: a small MLP in PyTorch, from training to a ranking.

What you need is plain arrays, so that everything here can be written in JAX as well: `gradient` is
jax.grad of the loss of a batch over one flat vector (jax.flatten_util.ravel_pytree), `curvature` is
jax.jvp of that gradient along a column of the basis, and orders, optimiser state and file formats
are the same. The arrays, all float64 (p parameters in one vector, k directions, M orders, T steps):

    theta0.npy     [p]            where every order starts: after a warm-up
    centre.npy     [p]            where gradients and curvature are taken: the mean of all points that
                                  a few trainings (pilots) passed
    gradients.npy  [items, p]     gradient of every batch's loss at the centre
    basis.npy      [p, k]         orthonormal directions in which those points differ most
    curvature.npy  [items, p, k]  Hessian of every batch's loss at the centre times the basis
    loss_at.npy    [p]            where the held-out loss is expanded: the pilots' mean end
    loss_grad.npy  [p]            gradient of the held-out loss there
    loss_curv.npy  [p, k]         Hessian of the held-out loss there times the basis
    m.npy, v.npy   [p]            state of Adam at theta0 (SGD: its momentum_buffer)
    orders.npy     [M, T]         numbers of the batches, a row per order; whole numbers
    checks.npy, check_ends.npy, check_losses.npy   [C, T], [C, p], [C]
                                  trainings that the set-up never saw: the gate

An item is what a step consumes: batch i is always the same examples, orders shuffle the batches.

The vector holds what is trained and nothing else. With --lora RANK that is two thin matrices for each weight of a
model that stays as it is (LoRA): p is small then, whatever the size of the model, and nothing else changes.

    python estimates_from_pytorch.py [--lora RANK] [--palimpsest PROGRAM] [--folder FOLDER]
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
PILOTS = 6  # trainings that are used for the set-up
K = 2 * BATCHES  # directions: twice the number of steps
GATE = 16  # trainings that decide whether the estimates may be believed
CHECKED = 32  # more orders that are really retrained, which the estimator never saw
LR, BETAS, EPS = 3e-3, (0.9, 0.999), 1e-8

parser = argparse.ArgumentParser()
parser.add_argument("--lora", type=int, default=0, help="rank of adapters, which alone are trained; 0: everything is")
parser.add_argument("--palimpsest", default="palimpsest", help="the program")
parser.add_argument("--folder", default=None, help="where the arrays go; a temporary folder")
options = parser.parse_args()

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
weights = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def whole(flat):
    """All weights from the vector: their order is yours, as long as every array keeps to it."""
    parts = torch.split(flat, [weight.numel() for weight in weights.values()])
    return {name: part.view(weight.shape) for (name, weight), part in zip(weights.items(), parts)}


def adapted(flat):
    """LoRA: a matrix is what it was plus B A, and the vector holds A and B of each, one after another."""
    named, at = dict(weights), 0
    for name, weight in weights.items():
        if weight.dim() == 2:
            (outputs, inputs), rank = weight.shape, options.lora
            a, at = flat[at : at + rank * inputs].view(rank, inputs), at + rank * inputs
            b, at = flat[at : at + outputs * rank].view(outputs, rank), at + outputs * rank
            named[name] = weight + b @ a
    return named


def adapters():
    """Where adapters start: A drawn, B = 0, so that the model is what it was."""
    parts = []
    for weight in weights.values():
        if weight.dim() == 2:
            outputs, inputs = weight.shape
            parts += [draw(options.lora * inputs) / inputs**0.5, torch.zeros(outputs * options.lora)]
    return torch.cat(parts)


seen = whole


def loss(flat, batch):
    """Mean loss of a batch as a function of the vector of what is trained."""
    inputs, labels = batch
    return torch.nn.functional.cross_entropy(functional_call(model, seen(flat), (inputs,)), labels)


def train(start, state, order, passed=None):
    """True training with torch.optim from `start` and Adam's state; returns both at the end. The
    parameters at the start and after every step are appended to `passed`."""
    flat = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([flat], lr=LR, betas=BETAS, eps=EPS)
    if state:
        optimizer.state[flat] = {key: value.clone() for key, value in state.items()}
    passed = [] if passed is None else passed
    passed.append(flat.detach().clone())
    for item in order:
        optimizer.zero_grad()
        loss(flat, batches[item]).backward()
        optimizer.step()
        passed.append(flat.detach().clone())
    return flat.detach(), optimizer.state[flat]


def shuffled():
    return torch.randperm(BATCHES, generator=generator).tolist()


initial = torch.cat([weight.reshape(-1) for weight in weights.values()])
if options.lora:
    # What is adapted was trained before: here for two epochs.
    weights = whole(train(initial, None, shuffled() + shuffled())[0])
    seen, initial = adapted, adapters()
p = initial.numel()
theta0, state = train(initial, None, shuffled() + shuffled())  # two epochs of warm-up

# ---- Set-up: some pilot trainings say where orders lead and in which directions they differ. ----

passed = []
ends = torch.stack([train(theta0, state, shuffled(), passed)[0] for _ in range(PILOTS)])
passed = torch.stack(passed)
# The surrogate is most exact amid the points that trajectories pass, and needs curvature in the
# directions in which these points differ: their leading singular vectors, orthonormal as they are.
centre = passed.mean(0)
basis = torch.linalg.svd(passed - centre, full_matrices=False)[2][: min(K, p)].T
# Final losses are read around where training ends.
loss_at = ends.mean(0)


def gradient(flat, batch):
    flat = flat.clone().requires_grad_(True)
    return torch.autograd.grad(loss(flat, batch), flat)[0]


gradients = torch.stack([gradient(centre, batch) for batch in batches])


def curvature(at, batch):
    """H Q at `at`, exact, by differentiating the gradient once more: [p, k]. Where double backward is not
    to be had, secants do as well: (gradient(at + e * q) - gradient(at - e * q)) / (2 * e)."""
    flat = at.clone().requires_grad_(True)
    first = torch.autograd.grad(loss(flat, batch), flat, create_graph=True)[0]
    columns = [torch.autograd.grad(first, flat, q, retain_graph=True)[0] for q in basis.T]
    return torch.stack(columns, 1)


# ---- Export, estimate, and hold the estimates against true retraining. --------------------------

folder = pathlib.Path(options.folder or tempfile.mkdtemp())
folder.mkdir(parents=True, exist_ok=True)

orders = np.array([shuffled() for _ in range(CHECKED)], dtype=np.int64)
checks = np.array([shuffled() for _ in range(GATE)], dtype=np.int64)
check_ends = torch.stack([train(theta0, state, order)[0] for order in checks.tolist()])
arrays = {
    "theta0": theta0,
    "centre": centre,
    "gradients": gradients,
    "curvature": torch.stack([curvature(centre, batch) for batch in batches]),
    "basis": basis,
    "loss_at": loss_at,
    "loss_grad": gradient(loss_at, held_out),
    "loss_curv": curvature(loss_at, held_out),
    "check_ends": check_ends,
    "check_losses": torch.stack([loss(end, held_out) for end in check_ends]).detach(),
    "m": state["exp_avg"],
    "v": state["exp_avg_sq"],
}
for name, array in arrays.items():
    np.save(folder / f"{name}.npy", np.ascontiguousarray(array.numpy()))
np.save(folder / "orders.npy", orders)
np.save(folder / "checks.npy", checks)
steps = int(state["step"])
(folder / "opt.yaml").write_text(
    f"{{kind: adam, lr: {LR}, betas: {list(BETAS)}, eps: {EPS},"
    f" state: {{m: m.npy, v: v.npy, step: {steps}}}}}\n"
)
at_centre = loss(loss_at, held_out).item()
command = [options.palimpsest, "estimate", "files"]
for option, name in [
    ("theta0", "theta0.npy"),
    ("centre", "centre.npy"),
    ("gradients", "gradients.npy"),
    ("curvature", "curvature.npy"),
    ("basis", "basis.npy"),
    ("optimizer", "opt.yaml"),
    ("orders", "orders.npy"),
    ("check-orders", "checks.npy"),
    ("check-ends", "check_ends.npy"),
    ("check-losses", "check_losses.npy"),
    ("loss-centre", "loss_at.npy"),
    ("loss-grad", "loss_grad.npy"),
    ("loss-curvature", "loss_curv.npy"),
    ("out", "est.npy"),
]:
    command += [f"--{option}", str(folder / name)]
command += ["--loss-at-centre", repr(at_centre), "--force", "--json"]
# 3 says that the gate does not let the numbers be believed; they are there to be looked at.
done = subprocess.run(command, stdout=subprocess.PIPE)
if done.returncode not in (0, 3):
    raise SystemExit(done.returncode)
answer = json.loads(done.stdout)
validity = answer["gate"]["validity"]
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
k = basis.shape[1]
print(f"{answer['estimator']}: p = {p}, k = {k}, {BATCHES} batches, {CHECKED} unseen orders")
print(f"gate: {validity['verdict']}: {validity['reason']}")
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
