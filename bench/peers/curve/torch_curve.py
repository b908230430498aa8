"""The learning curve of step A in PyTorch, on the text that `bench/peers/curve/run` writes.

6 layers x 384, context 256, batch 8, by bytes; the first nine tenths to train; normal(0, 0.02) weights, learning rate
1e-3, betas 0.9 and 0.99, decay 0.1 of matrices, gradients clipped at 1. Held-out loss in nats per byte over windows
that lie evenly in the last tenth.

    python torch_curve.py [--text target/curve/java.base.txt] [--seed 1] [--steps 1000] [--every 100] [--threads 2]
"""

import argparse
import pathlib
import sys
import time

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "step"))

from torch_step import Gpt  # noqa: E402

CONTEXT = 256
BATCH = 8
HELD_OUT = 128  # windows


def windows(text, starts):
    starts = list(map(int, starts))
    tokens = torch.stack([text[s : s + CONTEXT] for s in starts]).long()
    return tokens, torch.stack([text[s + 1 : s + 1 + CONTEXT] for s in starts]).long()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--text", default=HERE.parents[2] / "target" / "curve" / "java.base.txt")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--every", type=int, default=100)
    p.add_argument("--threads", type=int, default=2)
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    text = torch.frombuffer(bytearray(pathlib.Path(o.text).read_bytes()), dtype=torch.uint8)
    cut = len(text) * 9 // 10
    train, held = text[:cut], text[cut:]
    places = torch.linspace(0, len(held) - CONTEXT - 1, HELD_OUT).long().split(BATCH)
    shape = argparse.Namespace(layers=6, heads=6, width=384, context=CONTEXT, vocabulary=256)
    model = Gpt(shape)
    matrices = [q for q in model.parameters() if q.dim() == 2]
    vectors = [q for q in model.parameters() if q.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)

    def evaluate():
        with torch.no_grad():
            return sum(model(*windows(held, starts)).item() for starts in places) / len(places)

    print(f"# PyTorch {torch.__version__}, seed {o.seed}, {len(train):,} training and {len(held):,} held-out bytes")
    print("step  held out  seconds")
    begin = time.perf_counter()
    for step in range(o.steps + 1):
        if step % o.every == 0 or step == o.steps:
            print(f"{step:4}  {evaluate():8.3f}  {time.perf_counter() - begin:7.0f}", flush=True)
        if step < o.steps:
            loss = model(*windows(train, torch.randint(0, len(train) - CONTEXT - 1, (BATCH,))))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()


if __name__ == "__main__":
    main()
