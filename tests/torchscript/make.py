"""Makes the modules of this folder, and the numbers that the lab's networks are held to.

Needs PyTorch and NumPy; the committed files and numbers are of PyTorch 2.11.0 on one thread of a CPU:

    python3 tests/torchscript/make.py          # writes *.pt beside this file
    python3 tests/torchscript/make.py numbers  # prints what harness/lab/src/models/tests.rs expects
"""

import sys
import zipfile
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent


# ---- modules ----


class Everything(nn.Module):
    """What a module may hold beside plain layers: rows of four numbers as two steps of two, three classes."""

    def __init__(self):
        super().__init__()
        self.steps = nn.GRU(2, 4, batch_first=True)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.25)
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("kept", torch.tensor([True, True, True, False]))
        self.scale = nn.Parameter(torch.full((4,), 0.5), requires_grad=False)
        self.head = nn.Linear(4, 3)

    def forward(self, rows):
        if self.training:
            self.seen = self.seen + 1.0
        x = self.steps(rows.reshape(-1, 2, 2))[0][:, -1]
        x = self.drop(self.norm(x)) * self.kept
        x = torch.relu(self.first(x)) * self.scale
        return self.head(torch.relu(self.second(x)))


class Pair(nn.Module):
    """Gives two tensors."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, rows):
        return self.head(rows), rows


class Cut(nn.Module):
    """No gradient comes through it."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, rows):
        return self.head(rows).detach()


class Counts(nn.Module):
    """Keeps a count and a mean in buffers, whether it is trained or judged."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(4))
        self.head = nn.Linear(4, 2)

    def forward(self, rows):
        self.seen = self.seen + 1.0
        self.mean.mul_(0.9).add_(rows.detach().mean(0), alpha=0.1)
        return self.head(rows - self.mean)


class Steps(nn.Module):
    """Keeps a count where no record sees it."""

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.head = nn.Linear(2, 2)

    def forward(self, rows):
        self.steps += 1
        return self.head(rows) / float(self.steps)


class Kept(nn.Module):
    """Keeps tensors and a list as they are, and what it has seen in a tensor that is no buffer."""

    def __init__(self):
        super().__init__()
        self.sizes = [2, 2]
        self.still = torch.tensor([float("nan"), 1.0])
        self.last = torch.zeros(2)
        self.head = nn.Linear(2, 2)

    def forward(self, rows):
        self.last.copy_(rows.detach()[0])
        return self.head(rows)


class Sometimes(nn.Module):
    """Draws where an example is not zero, and clamps its weights as it goes."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(2, 2)

    def forward(self, rows):
        with torch.no_grad():
            self.head.weight.clamp_(-0.1, 0.1)
        x = self.head(rows)
        if bool((rows != 0).any()):
            x = x + torch.rand_like(x)
        return x


class Image(nn.Module):
    """Reads an image of 3 × 2 × 2 as one row."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(12, 2)

    def forward(self, images):
        return self.head(images.view(images.shape[0], -1))


class Words(nn.Module):
    """Predicts the next of seven tokens."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.steps = nn.GRU(4, 8, batch_first=True)
        self.head = nn.Linear(8, 7)

    def forward(self, tokens):
        return self.head(self.steps(self.table(tokens))[0])


class Nothing(nn.Module):
    """Has nothing to train."""

    def forward(self, rows):
        return rows


def classes():
    """Layers of every role, a dropout and statistics; four numbers, four classes."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 4)),
        nn.Conv1d(1, 8, 3, padding=1),
        nn.Flatten(),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(32, 16),
        nn.LayerNorm(16),
        nn.GELU(),
        nn.Linear(16, 4),
    )


def perceptron():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))


def modules():
    torch.manual_seed(1)
    scripted = {
        "perceptron": perceptron(),
        "everything": Everything(),
        "classes": classes(),
        "image": Image(),
        "in_place": nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2)),
        "pair": Pair(),
        "words": Words(),
        "cut": Cut(),
        "nothing": Nothing(),
        "double": perceptron().double(),
        "counts": Counts(),
        "steps": Steps(),
        "kept": Kept(),
        "sometimes": Sometimes(),
    }
    for name, module in scripted.items():
        torch.jit.script(module).save(str(HERE / f"{name}.pt"))
        again(HERE / f"{name}.pt", HERE / f"{name}.pt")
    # As a machine with a GPU saves it: its tensors say that they are there.
    on_a_gpu = lambda content: content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    again(HERE / "perceptron.pt", HERE / "gpu.pt", on_a_gpu)
    # What is saved by mistake.
    torch.save(perceptron().state_dict(), HERE / "state_dict.pt")


def again(saved, made, change=lambda content: content):
    """The same archive with other tensors' pickle, without the lines of code that its operations came from."""
    with zipfile.ZipFile(saved) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    with zipfile.ZipFile(made, "w") as out:
        for name, content in files.items():
            out.writestr(zipfile.ZipInfo(name), change(content) if name.endswith("/data.pkl") else content)


# ---- numbers ----


def wave(shape, place, middle=0.0, height=0.3):
    """Values that another program makes again: middle + height·sin(0.7·i + place)."""
    count = int(torch.Size(shape).numel())
    values = middle + height * torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + place)
    return values.to(torch.float32).reshape(shape)


def fill(parameters):
    """`parameters` in the lab's order: scales of normalisations around 1, all others around 0."""
    with torch.no_grad():
        for place, (parameter, is_scale) in enumerate(parameters):
            parameter.copy_(wave(parameter.shape, place, 1.0 if is_scale else 0.0))


class Block(nn.Module):
    """A basic block with the parameter-free shortcut of He et al. (2016), option A."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.na = nn.BatchNorm2d(outputs)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.nb = nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x):
        y = self.nb(self.b(F.relu(self.na(self.a(x)))))
        return F.relu(y + F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more)))


def resnet():
    first, norm = nn.Conv2d(2, 3, 3, 1, 1, bias=False), nn.BatchNorm2d(3)
    blocks = [Block(3, 3, 1), Block(3, 3, 1), Block(3, 5, 2), Block(5, 5, 1)]
    head = nn.Linear(5, 3)
    pairs = [(first, norm)] + [pair for b in blocks for pair in ((b.a, b.na), (b.b, b.nb))]
    listed = [(p, s) for c, n in pairs for p, s in ((c.weight, False), (n.weight, True), (n.bias, False))]
    fill(listed + [(head.weight, False), (head.bias, False)])
    whole = nn.Sequential(first, norm, nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    inputs = wave((3, 2, 5, 6), 0, height=1.0)
    return [whole.train()(inputs), whole.eval()(inputs)]


def encoder(width, heads, hidden, activation, epsilon, depth):
    layer = lambda: nn.TransformerEncoderLayer(
        width, heads, hidden, 0.0, activation, epsilon, batch_first=True, norm_first=True
    )
    return [layer() for _ in range(depth)]


def of_block(block):
    attention = block.self_attn
    return [
        (block.norm1.weight, True),
        (block.norm1.bias, False),
        (attention.in_proj_weight, False),
        (attention.in_proj_bias, False),
        (attention.out_proj.weight, False),
        (attention.out_proj.bias, False),
        (block.norm2.weight, True),
        (block.norm2.bias, False),
        (block.linear1.weight, False),
        (block.linear1.bias, False),
        (block.linear2.weight, False),
        (block.linear2.bias, False),
    ]


def vit():
    patch, width, depth = nn.Conv2d(2, 8, (2, 2), 2), 8, 2
    token, positions = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.zeros(7, 8))
    blocks = encoder(width, 2, 32, "gelu", 1e-6, depth)
    norm, head = nn.LayerNorm(8, eps=1e-6), nn.Linear(8, 3)
    listed = [(patch.weight, False), (patch.bias, False), (token, False), (positions, False)]
    listed += [one for block in blocks for one in of_block(block)]
    listed += [(norm.weight, True), (norm.bias, False), (head.weight, False), (head.bias, False)]
    fill(listed)
    inputs = wave((2, 2, 4, 6), 0, height=1.0)
    x = patch(inputs).flatten(2).transpose(1, 2)
    x = torch.cat([token.expand(2, 1, 8), x], 1) + positions
    for block in blocks:
        x = block(x)
    return [head(norm(x)[:, 0])]


def gpt():
    tokens, positions = nn.Embedding(7, 8), nn.Embedding(5, 8)
    blocks = encoder(8, 2, 32, lambda x: F.gelu(x, approximate="tanh"), 1e-5, 2)
    norm, head = nn.LayerNorm(8), nn.Linear(8, 7)
    listed = [(tokens.weight, False), (positions.weight, False)]
    listed += [one for block in blocks for one in of_block(block)]
    listed += [(norm.weight, True), (norm.bias, False), (head.weight, False), (head.bias, False)]
    fill(listed)
    x = tokens(torch.tensor([[0, 3, 6, 1, 5]])) + positions.weight
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    for block in blocks:
        x = block(x, src_mask=mask)
    return [head(norm(x))]


def of_gru(gru, depth):
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    return [(getattr(gru, f"{name}_l{layer}"), False) for layer in range(depth) for name in names]


def gru():
    tokens, units, head = nn.Embedding(7, 4), nn.GRU(4, 4, 2, batch_first=True), nn.Linear(4, 7)
    fill([(tokens.weight, False), *of_gru(units, 2), (head.weight, False), (head.bias, False)])
    words = head(units(tokens(torch.tensor([[0, 3, 6, 1, 5]])))[0])
    # Rows of an image of two channels, one step after the other.
    units, head = nn.GRU(6, 4, 2, batch_first=True), nn.Linear(4, 3)
    fill([*of_gru(units, 2), (head.weight, False), (head.bias, False)])
    images = wave((2, 2, 4, 3), 0, height=1.0)
    return [words, head(units(images.permute(0, 2, 1, 3).flatten(2))[0][:, -1])]


def numbers():
    torch.set_num_threads(1)
    for network in (resnet, vit, gpt, gru):
        for outputs in network():
            flat = outputs.detach().flatten().tolist()
            print(network.__name__, list(outputs.shape), [round(value, 6) for value in flat])


if __name__ == "__main__":
    numbers() if sys.argv[1:] == ["numbers"] else modules()
