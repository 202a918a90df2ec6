"""Cost of a training step through the harness, of generation and of a step of GRPO, beside the same in PyTorch.

Both run on one thread, in a process each, and take turns in blocks of steps: `cargo bench --bench step -- serve`
waits while Python trains, and Python while it does. Printed are medians, and the median, minimum and maximum over the
rounds of harness / PyTorch. Bounds: a digits-mlp step at most 0.45 of eager AdamW and 0.6 of PyTorch's best variant; a
mnist-cnn step at most 0.8 of eager AdamW and 1.0 of its best; a GPT step at most 0.7 of eager AdamW; generation at most
1/1.8 of eager generation with a cache. Run it with `just micro-peer`.
"""

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parent.parent
DIGITS, MNIST = "digits-mlp", "mnist-cnn"
GPT_XS, GPT_S, GENERATE, GRPO = "gpt-xs", "gpt-s", "generate", "grpo"
EXAMPLES = {DIGITS: 1_197, MNIST: 5_400}
TOKENS, PROMPT, RESPONSE, GROUP = 32, 12, 16, 8


class Mlp(nn.Module):
    """64-128-128-10 with ReLU."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 128), nn.Linear(128, 128), nn.Linear(128, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


class Cnn(nn.Module):
    """Three 3 x 3 convolutions of 16-32-64 channels, pooled after the first two, and a linear head."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in ((1, 16), (16, 32), (32, 64))
        )
        self.head = nn.Linear(64 * 7 * 7, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.head(F.relu(self.conv3(x)).flatten(1))


class Block(nn.Module):
    """Pre-LN block: attention and an MLP of four times the width, GELU as in GPT-2."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, cache=None, start=0):
        batch, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if cache is not None:
            keys, values = cache
            keys[:, :, start : start + length], values[:, :, start : start + length] = k, v
            k, v = keys[:, :, : start + length], values[:, :, : start + length]
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    """Two blocks of four heads with learned positions and an untied head."""

    def __init__(self, width: int, context: int):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(TOKENS, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, TOKENS)

    def forward(self, tokens, caches=(None, None), start=0):
        x = self.tokens(tokens) + self.positions.weight[start : start + tokens.shape[1]]
        for block, cache in zip(self.blocks, caches, strict=True):
            x = block(x, cache, start)
        return self.head(self.norm(x))

    @torch.inference_mode()
    def generate(self, prompts, group=1):
        """Samples `group` responses to each prompt, with a cache of keys and values that starts with the prompt's;
        the tokens and their log-probabilities."""
        size = (len(prompts), 4, PROMPT + RESPONSE, self.norm.normalized_shape[0] // 4)
        caches = [(torch.empty(size), torch.empty(size)) for _ in self.blocks]
        logits = self(prompts, caches)[:, -1]
        if group > 1:
            caches = [(keys.repeat_interleave(group, 0), values.repeat_interleave(group, 0)) for keys, values in caches]
            logits = logits.repeat_interleave(group, 0)
        tokens, log_probabilities = [], []
        for position in range(PROMPT, PROMPT + RESPONSE):
            log_p = F.log_softmax(logits, -1)
            token = torch.multinomial(log_p.exp(), 1)
            tokens.append(token)
            log_probabilities.append(log_p.gather(1, token))
            if len(tokens) < RESPONSE:
                logits = self(token, caches, position)[:, -1]
        return torch.cat(tokens, 1), torch.cat(log_probabilities, 1)


def gpt_loop(task: str, batch: int, **adamw) -> Callable[[int], float]:
    """Training steps on rows of tokens."""
    torch.manual_seed(1)
    width, length = (64, 32) if task == GPT_XS else (128, 64)
    model = Gpt(width, length)
    inputs = torch.randint(TOKENS, (4_096, length))
    labels = torch.randint(TOKENS, (4_096, length))
    optimizer = torch.optim.AdamW(model.parameters(), **adamw)

    def block(steps: int) -> float:
        start, left = time.perf_counter(), steps
        while left:
            for ids in torch.randperm(len(labels)).split(batch)[:left]:
                loss = F.cross_entropy(model(inputs[ids]).flatten(0, 1), labels[ids].flatten())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                left -= 1
        return 1e3 * (time.perf_counter() - start) / steps

    return block


def rollout_loop(task: str, rows: int, **adamw) -> Callable[[int], float]:
    """Generation for as many prompts as rows, or GRPO: groups of 8 responses to one prompt, and one update on all."""
    torch.manual_seed(1)
    model = Gpt(64, 48)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, **adamw)
    group = 1 if task == GENERATE else GROUP
    prompts = torch.randint(TOKENS, (rows // group, PROMPT))

    def update(tokens, old):
        # inference_mode's tensors may not be saved for the backward pass.
        tokens, old = tokens.clone(), old.clone()
        rewards = (tokens % 2 == 0).float().mean(1).view(-1, GROUP)
        advantages = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, correction=0, keepdim=True) + 1e-4)
        advantages = advantages.view(-1, 1)
        logits = model(torch.cat([prompts.repeat_interleave(group, 0), tokens], 1)[:, :-1])[:, PROMPT - 1 :]
        now = F.log_softmax(logits, -1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        ratio = (now - old).exp()
        loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def block(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            tokens, old = model.generate(prompts, group)
            if task == GRPO:
                update(tokens, old)
        return 1e3 * (time.perf_counter() - start) / steps

    return block


LOOPS = {GPT_XS: gpt_loop, GPT_S: gpt_loop, GENERATE: rollout_loop, GRPO: rollout_loop}


def torch_loop(task: str, batch: int, channels_last: bool = False, **adamw) -> Callable[[int], float]:
    """A training loop as PyTorch's examples write it; the result maps a number of steps to milliseconds per step."""
    torch.manual_seed(1)
    model = Mlp() if task == DIGITS else Cnn()
    inputs = torch.randn(EXAMPLES[task], *((64,) if task == DIGITS else (1, 28, 28)))
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    labels = torch.arange(EXAMPLES[task]) % 10
    optimizer = torch.optim.AdamW(model.parameters(), **adamw)

    def block(steps: int) -> float:
        start, left = time.perf_counter(), steps
        while left:
            for ids in torch.randperm(len(labels)).split(batch)[:left]:
                loss = F.cross_entropy(model(inputs[ids]), labels[ids])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                left -= 1
        return 1e3 * (time.perf_counter() - start) / steps

    return block


class Harness:
    """The Rust side, which answers `task batch steps` with milliseconds per step."""

    def __init__(self):
        command = ["cargo", "bench", "--quiet", "--bench", "step", "--", "serve"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def block(self, task: str, batch: int, steps: int) -> float:
        self.process.stdin.write(f"{task} {batch} {steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("peer: the Rust side stopped; run `cargo bench --bench step` to see why")
        return float(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(harness: Harness, task: str, batch: int, steps: int, rounds: int, variants: dict[str, dict]) -> None:
    """Lets the harness and every variant of PyTorch take turns and prints what a step costs."""
    make = LOOPS.get(task, torch_loop)
    loops = {name: make(task, batch, **options) for name, options in variants.items()}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in loops}
    ratios: dict[str, list[float]] = {name: [] for name in loops}
    for round_number in range(rounds + 1):
        for name, loop in loops.items():
            pair = {"ours": lambda: harness.block(task, batch, steps), "theirs": lambda: loop(steps)}
            # Who goes first alternates, as other load on the machine drifts.
            order = ("ours", "theirs") if round_number % 2 else ("theirs", "ours")
            milliseconds = {side: pair[side]() for side in order}
            if round_number:  # The first round warms up.
                ours.append(milliseconds["ours"])
                theirs[name].append(milliseconds["theirs"])
                ratios[name].append(milliseconds["ours"] / milliseconds["theirs"])
    median = statistics.median
    print(f"{task}, batch {batch}: harness {median(ours):.4g} ms a step, {rounds} rounds of {steps} steps")
    for name in loops:
        print(
            f"  PyTorch {torch.__version__} {name}: {median(theirs[name]):.4g} ms; "
            f"ratio {median(ratios[name]):.3f} ({min(ratios[name]):.3f} to {max(ratios[name]):.3f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    tasks = [DIGITS, MNIST, GPT_XS, GPT_S, GENERATE, GRPO]
    parser.add_argument("--task", choices=tasks, help="only this one")
    args = parser.parse_args()
    torch.set_num_threads(1)
    harness = Harness()
    chosen = [args.task] if args.task else tasks
    if DIGITS in chosen:
        digits = {"eager": {}, "foreach": {"foreach": True}, "fused": {"fused": True}}
        for batch in (32, 128):
            compare(harness, DIGITS, batch, 200, args.rounds, digits)
    if MNIST in chosen:
        mnist = {
            "eager": {},
            "fused": {"fused": True},
            "channels_last": {"channels_last": True},
            "channels_last, fused": {"channels_last": True, "fused": True},
        }
        compare(harness, MNIST, 256, 3, args.rounds, mnist)
    rules = {"eager": {}, "fused": {"fused": True}}
    for task, batch, steps in ((GPT_XS, 64, 8), (GPT_S, 32, 3), (GENERATE, 128, 5), (GRPO, 128, 4)):
        if task in chosen:
            compare(harness, task, batch, steps, args.rounds, {"eager": {}} if task == GENERATE else rules)
    harness.close()
    print(f"load average {', '.join(f'{load:.1f}' for load in os.getloadavg())} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
