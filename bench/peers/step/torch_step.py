"""The training step of `lockstep perf step gpt`, in PyTorch: the same model, batch and optimizer.

GPT-2 with a tied head and biases, attention by scaled_dot_product_attention, fused AdamW with decay of matrices
alone, gradients clipped by their global norm; with `--precision bf16` forward and backward run under autocast.
Prints one line of JSON.

    python torch_step.py --layers 6 --heads 6 --width 384 --context 256 --micro-batch 8 --threads 2 --steps 20
    python torch_step.py --device cuda --precision bf16 [--compile] --layers 12 --heads 12 --width 768 \\
        --context 1024 --vocabulary 50257 --micro-batch 16 --steps 20
"""

import argparse
import json
import math
import statistics
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1 = nn.LayerNorm(width)
        self.c_attn = nn.Linear(width, 3 * width)
        self.attn_proj = nn.Linear(width, width)
        self.ln_2 = nn.LayerNorm(width)
        self.c_fc = nn.Linear(width, 4 * width)
        self.mlp_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.c_attn(self.ln_1(x)).split(c, dim=2)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn_proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp_proj(functional.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.wte = nn.Embedding(o.vocabulary, o.width)
        self.wpe = nn.Embedding(o.context, o.width)
        self.blocks = nn.ModuleList([Block(o.width, o.heads) for _ in range(o.layers)])
        self.ln_f = nn.LayerNorm(o.width)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                residual = name.endswith("proj.weight")
                nn.init.normal_(p, 0, 0.02 / (math.sqrt(2 * o.layers) if residual else 1))
            elif "ln_" not in name:
                nn.init.zeros_(p)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.ln_f(x), self.wte.weight)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def main():
    p = argparse.ArgumentParser()
    for name, default in (
        ("layers", 6), ("heads", 6), ("width", 384), ("context", 256), ("vocabulary", 256),
        ("micro-batch", 8), ("threads", 1), ("steps", 20), ("warm-up", 5),
    ):
        p.add_argument("--" + name, type=int, default=default)
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    p.add_argument("--compile", action="store_true")
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(1)
    model = Gpt(o).to(o.device)
    matrices = [q for q in model.parameters() if q.dim() == 2]
    vectors = [q for q in model.parameters() if q.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.99), fused=True)
    forward = torch.compile(model) if o.compile else model
    narrow = torch.autocast(o.device, torch.bfloat16, enabled=o.precision == "bf16")
    text = torch.randint(32, 127, (1 << 20,))

    def step():
        starts = torch.randint(0, len(text) - o.context - 1, (o.micro_batch,)).tolist()
        tokens = torch.stack([text[s : s + o.context] for s in starts])
        targets = torch.stack([text[s + 1 : s + 1 + o.context] for s in starts])
        with narrow:
            loss = forward(tokens.to(o.device), targets.to(o.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    end = time.perf_counter() + o.warm_up
    step()
    while time.perf_counter() < end:
        step()
    seconds = []
    for _ in range(o.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(json.dumps({
        "runtime": "PyTorch " + torch.__version__,
        "threads": o.threads,
        "device": torch.cuda.get_device_name() if o.device == "cuda" else "cpu",
        "tokensPerSecond": o.micro_batch * o.context / median,
        "millisecondsPerStep": median * 1e3,
    }))


if __name__ == "__main__":
    main()
