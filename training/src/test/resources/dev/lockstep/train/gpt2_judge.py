"""Opens a checkpoint as Hugging Face's GPT-2 and trains it on with PyTorch.

gpt2_judge.py CHECKPOINT WORK.json: prints {"validation": mean loss, "losses": [mean loss of each step]}.
"""
import json
import sys

import torch
from transformers import GPT2LMHeadModel

torch.set_num_threads(1)
model, info = GPT2LMHeadModel.from_pretrained(sys.argv[1], output_loading_info=True)
unused = [info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]]
if unused:
    sys.exit(f"the checkpoint does not fit GPT2LMHeadModel: {unused}")
with open(sys.argv[2], encoding="utf-8") as file:
    work = json.load(file)


def loss(batch):
    logits = model(torch.tensor(batch["tokens"])).logits
    targets = torch.tensor(batch["targets"])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


with torch.no_grad():
    validation = loss(work["validation"]).item()

parameters = list(model.parameters())
optimizer = torch.optim.AdamW(
    [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": work["weightDecay"]},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ],
    betas=(work["beta1"], work["beta2"]),
    eps=work["epsilon"],
)
losses = []
for step in work["steps"]:
    for group in optimizer.param_groups:
        group["lr"] = step["learningRate"]
    optimizer.zero_grad()
    value = loss(step)
    value.backward()
    torch.nn.utils.clip_grad_norm_(parameters, work["clip"])
    optimizer.step()
    losses.append(value.item())
print(json.dumps({"validation": validation, "losses": losses}))
