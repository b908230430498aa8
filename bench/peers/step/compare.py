"""Runs `lockstep perf step gpt` and its PyTorch twin in turn and prints the ratio of their tokens per second.

    python bench/peers/step/compare.py [--python PYTHON] [--rounds 2] [--threads 1,2] [A] [B] [gpt2]

A is 6 layers x 384, context 256, batch 8; B is 4 x 128, context 64, batch 12; gpt2 is GPT-2 124M, batch 4 x 64.
Runs are in turn, not at once; the best round of each counts, as both suffer from neighbours alike.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
MODELS = {
    "A": "--layers 6 --heads 6 --width 384 --context 256 --micro-batch 8 --steps 10",
    "B": "--layers 4 --heads 4 --width 128 --context 64 --micro-batch 12 --steps 200",
    "gpt2": "--layers 12 --heads 12 --width 768 --context 64 --micro-batch 4 --vocabulary 50257 --steps 7",
}


def ours(command, arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "step.json")
        subprocess.run(
            command + ["perf", "step", "gpt"] + arguments + ["--json", file],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        with open(file) as text:
            return json.load(text)


def theirs(python, arguments):
    script = os.path.join(HERE, "torch_step.py")
    done = subprocess.run([python, script] + arguments, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("models", nargs="*", default=[])
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--lockstep", default=os.path.join(HOME, "lockstep"))
    p.add_argument("--rounds", type=int, default=2)
    p.add_argument("--threads", default="1,2")
    o = p.parse_args()
    print("model threads   lockstep tok/s  ms/step    PyTorch tok/s  ms/step   ratio")
    for model in o.models or list(MODELS):
        for threads in o.threads.split(","):
            arguments = MODELS[model].split() + ["--threads", threads]
            best = [None, None]
            for _ in range(o.rounds):
                for i, found in enumerate(
                    (lambda: ours([o.lockstep], arguments), lambda: theirs(o.python, arguments))
                ):
                    result = found()
                    if best[i] is None or result["tokensPerSecond"] > best[i]["tokensPerSecond"]:
                        best[i] = result
            a, b = best
            print(
                f"{model:5} {threads:>7} {a['tokensPerSecond']:16.0f} {a['millisecondsPerStep']:8.2f}"
                f" {b['tokensPerSecond']:16.0f} {b['millisecondsPerStep']:8.2f}"
                f" {a['tokensPerSecond'] / b['tokensPerSecond']:7.2f}",
                flush=True,
            )


main()
