"""Makes pytorch.json: final parameters of true trainings with torch.optim in float64.

Every item has the loss g_i . d + d H_i d / 2, d = theta - centre, so that the surrogate with the
identity as basis is exact and must train as PyTorch does. Muon is not taken from torch.optim, which
computes in bfloat16, but written out in float64 after muon.py of its author.

    python pytorch.py > pytorch.json
"""

import json

import torch

torch.manual_seed(5)
F64 = torch.float64
ITEMS, P, ORDERS, EPOCHS = 4, 9, 3, 2
SHAPES = [[3, 2], [1, 3]]


def draw(*shape):
    return torch.randn(*shape, dtype=F64)


roots = draw(ITEMS, P, P) / 3
curvature = roots + roots.transpose(1, 2)
gradients, theta0, centre = draw(ITEMS, P), draw(P), draw(P)
orders = [[i for _ in range(EPOCHS) for i in torch.randperm(ITEMS).tolist()] for _ in range(ORDERS)]


def gradient(item, theta):
    return gradients[item] + curvature[item] @ (theta - centre)


def train(order, make, warm=None, clip=None, rates=None):
    theta = torch.nn.Parameter(theta0.clone())
    optimizer = make([theta])
    if warm:
        optimizer.state[theta] = {key: value.clone() for key, value in warm.items()}
    for step, item in enumerate(order):
        theta.grad = gradient(item, theta.detach()).clone()
        if clip:
            torch.nn.utils.clip_grad_norm_([theta], clip)
        if rates:
            optimizer.param_groups[0]["lr"] = rates[step]
        optimizer.step()
    return theta.detach().tolist()


def newton_schulz(matrix, steps):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def muon(order, buffer, beta=0.9, lr=0.05, decay=0.1, aux_lr=0.01, steps=5):
    """The first parameter by Muon, the second by AdamW."""
    theta, buffer = theta0.clone(), buffer.clone()
    head = torch.nn.Parameter(theta[6:].clone())
    aux = torch.optim.AdamW([head], lr=aux_lr, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    for item in order:
        theta[6:] = head.detach()
        g = gradient(item, theta)
        buffer.lerp_(g, 1 - beta)
        u = g.lerp(buffer, beta)
        direction = newton_schulz(u[:6].view(3, 2), steps) * max(1, 3 / 2) ** 0.5
        theta[:6] = theta[:6] * (1 - lr * decay) - lr * direction.reshape(-1)
        head.grad = g[6:].clone()
        aux.step()
        theta[6:] = head.detach()
    return theta.tolist()


buffer, first, second = draw(P), draw(P), draw(P) ** 2
warm_sgd = {"momentum_buffer": buffer}
warm_adam = {"exp_avg": first, "exp_avg_sq": second, "step": torch.tensor(7.0)}
adam_files = {"m.npy": first.tolist(), "v.npy": second.tolist()}
adam_state = "state: {m: m.npy, v: v.npy, step: 7}"
sgd_state = "state: {momentum: buffer.npy}"
rates = [0.1, 0.09, 0.08, 0.07, 0.05, 0.03, 0.01, 0.0]
optim = torch.optim
cases = [
    ("sgd", "{kind: sgd, lr: 0.1}", {}, lambda p: optim.SGD(p, lr=0.1), {}),
    ("sgd, decay", "{kind: sgd, lr: 0.1, weight_decay: 0.3}", {},
     lambda p: optim.SGD(p, lr=0.1, weight_decay=0.3), {}),
    ("sgd, clip", "{kind: sgd, lr: 0.1, clip: 0.7}", {}, lambda p: optim.SGD(p, lr=0.1), {"clip": 0.7}),
    ("sgd, schedule", f"{{kind: sgd, lr: {rates}, momentum: 0.9}}", {},
     lambda p: optim.SGD(p, lr=0.1, momentum=0.9), {"rates": rates}),
    ("momentum, cold", "{kind: sgd, lr: 0.05, momentum: 0.9, weight_decay: 0.1}", {},
     lambda p: optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1), {}),
    ("momentum, warm", f"{{kind: sgd, lr: 0.05, momentum: 0.9, {sgd_state}}}",
     {"buffer.npy": buffer.tolist()}, lambda p: optim.SGD(p, lr=0.05, momentum=0.9), {"warm": warm_sgd}),
    ("nesterov, cold", "{kind: sgd, lr: 0.05, momentum: 0.9, nesterov: true}", {},
     lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), {}),
    ("nesterov, warm", f"{{kind: sgd, lr: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.1, {sgd_state}}}",
     {"buffer.npy": buffer.tolist()},
     lambda p: optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1), {"warm": warm_sgd}),
    ("adam, cold", "{kind: adam, lr: 0.02}", {}, lambda p: optim.Adam(p, lr=0.02), {}),
    ("adam, decay, cold", "{kind: adam, lr: 0.02, betas: [0.8, 0.95], eps: 1.0e-4, weight_decay: 0.2}", {},
     lambda p: optim.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.2), {}),
    ("adam, decay, warm", f"{{kind: adam, lr: 0.02, weight_decay: 0.2, {adam_state}}}", adam_files,
     lambda p: optim.Adam(p, lr=0.02, weight_decay=0.2), {"warm": warm_adam}),
    ("adamw, cold", "{kind: adamw, lr: 0.02}", {}, lambda p: optim.AdamW(p, lr=0.02), {}),
    ("adamw, warm", f"{{kind: adamw, lr: 0.02, betas: [0.8, 0.95], weight_decay: 0.3, clip: 0.5, {adam_state}}}",
     adam_files, lambda p: optim.AdamW(p, lr=0.02, betas=(0.8, 0.95), weight_decay=0.3),
     {"warm": warm_adam, "clip": 0.5}),
]  # fmt: skip
documents = [
    {"name": name, "yaml": text, "files": files, "ends": [train(o, make, **more) for o in orders]}
    for name, text, files, make, more in cases
]
muon_yaml = (
    "{kind: muon, lr: 0.05, momentum: 0.9, weight_decay: 0.1, "
    f"shapes: {SHAPES}, moved_by: [muon, adamw], aux: {{lr: 0.01}}"
)
for name, text, files, start in [
    ("muon, cold", muon_yaml + "}", {}, torch.zeros(P, dtype=F64)),
    ("muon, warm", f"{muon_yaml}, {sgd_state}}}", {"buffer.npy": buffer.tolist()}, buffer),
]:
    ends = [muon(order, start) for order in orders]
    documents.append({"name": name, "yaml": text, "files": files, "ends": ends})

print(
    json.dumps(
        {
            "origin": f"pytorch.py beside this file, torch {torch.__version__}, float64",
            "items": ITEMS,
            "p": P,
            "theta0": theta0.tolist(),
            "centre": centre.tolist(),
            "gradients": gradients.flatten().tolist(),
            "curvature": curvature.flatten().tolist(),
            "orders": orders,
            "cases": documents,
        }
    )
)
