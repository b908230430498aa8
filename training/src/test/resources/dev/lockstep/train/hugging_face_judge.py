"""Makes a model folder as Hugging Face's transformers does, and says what it and another answer.

hugging_face_judge.py gpt2|llama|llama-tied FOLDER FILE_BYTES DTYPE OTHER: writes a random model to FOLDER in files
of at most FILE_BYTES and prints {"theirs": its logits, "ours": those of the model in OTHER}, each as
{"model", "tokens", "logits"}. Tokens are 0, 37, 74, ... (mod vocabulary), as many as the context has.
"""
import json
import sys

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

torch.set_num_threads(1)
torch.manual_seed(5)


def make(family, folder, shard_bytes, dtype):
    if family == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(
            n_embd=32, n_layer=2, n_head=4, vocab_size=256, n_positions=12, initializer_range=0.2,
            bos_token_id=None, eos_token_id=None))
    else:
        model = LlamaForCausalLM(LlamaConfig(
            hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, vocab_size=256, max_position_embeddings=12, initializer_range=0.2,
            tie_word_embeddings=family == "llama-tied",
            rope_parameters={"rope_type": "default", "rope_theta": 5000.0}))
    model.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shard_bytes)


def answer(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    wrong = [info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]]
    if wrong:
        sys.exit(f"the folder does not fit {type(model).__name__}: {wrong}")
    config = model.config
    tokens = [37 * i % config.vocab_size for i in range(config.max_position_embeddings)]
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0]
    return {"model": type(model).__name__, "tokens": tokens, "logits": logits.tolist()}


family, theirs, shard_bytes, dtype, ours = sys.argv[1:]
make(family, theirs, shard_bytes, dtype)
print(json.dumps({"theirs": answer(theirs), "ours": answer(ours)}))
