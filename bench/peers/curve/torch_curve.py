"""PyTorch's learning curve from Lockstep's first weights, over Lockstep's windows.

    python torch_curve.py FOLDER THREADS

FOLDER is what `Curve` has exported: `curve.json`, the hyper-parameters; `windows`, the bytes of each window and the
one that follows, those held out first; `checkpoint/model.safetensors`. Prints `STEP TRAIN HELD_OUT` where Lockstep
evaluates; the loss is in nats per byte.
"""

import json
import pathlib
import struct
import sys
import time
import types

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "step"))
from torch_step import Gpt  # noqa: E402

# Names of a block's modules in a GPT-2 checkpoint, and here.
NAMES = {"attn.c_attn": "c_attn", "attn.c_proj": "attn_proj", "mlp.c_fc": "c_fc", "mlp.c_proj": "mlp_proj"}


def tensors(path):
    """Returns the tensors of a safetensors file by name; float32 alone."""
    raw = bytearray(path.read_bytes())
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            sys.exit(f"{path}: {name} is {entry['dtype']}, and only F32 is read here")
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(raw, dtype=torch.float32, count=(end - begin) // 4, offset=8 + length + begin)
        found[name.removeprefix("transformer.")] = values.view(entry["shape"])
    return found


def load(model, found):
    """Copies a GPT-2 checkpoint's weights; its products take [in, out], `Linear` takes [out, in]."""
    state = {}
    for name, value in found.items():
        parts = name.split(".")
        if parts[0] == "h":
            module = ".".join(parts[2:-1])
            if module in NAMES:
                value = value.t() if value.dim() == 2 else value
                module = NAMES[module]
            name = f"blocks.{parts[1]}.{module}.{parts[-1]}"
        state[name] = value
    state.pop("lm_head.weight", None)  # tied
    model.load_state_dict(state)


def main():
    folder, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    o = types.SimpleNamespace(**json.loads((folder / "curve.json").read_text()))
    torch.set_num_threads(threads)
    model = Gpt(o)
    load(model, tensors(folder / "checkpoint" / "model.safetensors"))
    raw = torch.frombuffer(bytearray((folder / "windows").read_bytes()), dtype=torch.uint8)
    windows = raw.view(-1, o.context + 1).long()
    held_out, training = windows[: o.held_out], windows[o.held_out :].view(-1, o.micro_batch, o.context + 1)
    groups = [
        {"params": [q for q in model.parameters() if q.dim() == 2], "weight_decay": o.weight_decay},
        {"params": [q for q in model.parameters() if q.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=o.rate, betas=(o.beta1, o.beta2), eps=o.epsilon, fused=True)

    def evaluate():
        with torch.no_grad():
            losses = [model(part[:, :-1], part[:, 1:]) for part in held_out.split(o.micro_batch)]
        return torch.stack(losses).mean().item()

    print(f"# PyTorch {torch.__version__}, {threads} threads", flush=True)
    start = time.perf_counter()
    print(f"0 - {evaluate():.4f} 0", flush=True)
    for step in range(1, len(training) + 1):
        for group in optimizer.param_groups:
            group["lr"] = o.rate * min(1, step / o.warm_up)
        batch = training[step - 1]
        loss = model(batch[:, :-1], batch[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), o.clip)
        optimizer.step()
        if step % o.every == 0 or step == len(training):
            print(f"{step} {loss.item():.4f} {evaluate():.4f} {time.perf_counter() - start:.0f}", flush=True)


if __name__ == "__main__":
    main()
