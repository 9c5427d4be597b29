"""Writes test/fixtures/inversion/: learned token embeddings in tokenizers, text encoders and U-Nets.

`tokens.json` is transformers' Python tokenizer with the tokens added, on captions in which the token was replaced as the trainers that
the method comes from do it: S by "S S1 S2", and that by "S_IN01 S1_IN01 S2_IN01" for a layer. `tinySd1.json` and `tinySd2.json` are
the tiny models with a token table that has been resized, and a U-Net each of whose cross-attention layers is given its own
context. Rows are formula tensors '<model>/<section>/rows'; losses are sum(output * dy) with dy = '<model>/<section>/dy'.

    python inversion.py models                     # the packages of README.md
    PYTHONPATH=slow python inversion.py tokens     # transformers 4, see README.md
"""

import json
import sys
import tempfile
from pathlib import Path

from formula import FIXTURES, formula, write_json

FOLDER = FIXTURES / "inversion"
FIRST = 49408
LAYERS = ["IN01", "IN02", "IN04", "IN05", "IN07", "IN08", "MID", *[f"OUT{i:02}" for i in range(3, 12)]]
# ---- token ids --------------------------------------------------------------------------------------------------------

CASES = [
    ("shs frog", ["a photo of shs frog", "shs  frog", "shs frogs, shs frog", "ashs frogb"], 2),
    ("<frog>", ["<frog>", "a photo of a <frog>, <frog><frog>", "a<frog>b <frog>1", "a cat", "", "< frog >", "<FROG>"], 3),
    ("zwxq", ["zwxq", "the zwxqs and zwxq1 and zwxq2 12zwxq!", "Zwxq", "zwx zwxq", "zw\u0301xq zwxq\u0301"], 1),
    ("zwxq", ["zwxq", "the zwxqs and zwxq1 and zwxq2 12zwxq!", " ".join(["zwxq cat"] * 30)], 2),
    ("a.b*", ["a.b* and aXb", "a.b*a.b*", "stop! a.b*!"], 12),
]  # fmt: skip
NAMES = ["cat", "catz", "Cat", "sks", "<frog>", "!", "q", "<|endoftext|>", "frog", "shs", "zwxq"]


def slow_tokenizer(folder: str, lines: list[str], pad: str):
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    from tokenizer import vocabulary

    vocab, merge_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
    vocab.write_text(json.dumps(vocabulary(lines)), encoding="utf-8")
    merge_file.write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
    return CLIPTokenizer(str(vocab), str(merge_file), pad_token=pad, model_max_length=77)


def row(tokenizer, caption: str) -> list[int]:
    return tokenizer(caption, padding="max_length", truncation=True, max_length=77).input_ids


def write_tokens() -> None:
    from tokenizer import merges

    lines, cases = merges(), []
    with tempfile.TemporaryDirectory() as folder:
        for variant, pad in [("sd1", "<|endoftext|>"), ("sd2", "!")]:
            for token, captions, count in CASES:
                tokens = [token, *(f"{token}{i}" for i in range(1, count))]
                plain = slow_tokenizer(folder, lines, pad)
                assert plain.add_tokens(tokens) == count
                assert plain.convert_tokens_to_ids(tokens) == list(range(FIRST, FIRST + count))
                layered = slow_tokenizer(folder, lines, pad)
                assert layered.add_tokens(tokens) == count
                by_layer = [[f"{t}_{layer}" for t in tokens] for layer in LAYERS]
                assert layered.add_tokens([t for names in by_layer for t in names]) == 16 * count
                for caption in captions:
                    text = caption.replace(token, " ".join(tokens)) if count > 1 else caption
                    last = text.replace(" ".join(tokens), " ".join(by_layer[-1]))
                    cases.append({
                        "variant": variant, "token": token, "vectors": count, "caption": caption, "ids": row(plain, text),
                        # Ids of the last layer, less the ids of the base tokens, which have no rows to train.
                        "lastLayer": [i if i < FIRST else i - count for i in row(layered, last)],
                    })  # fmt: skip
        free = [name for name in NAMES if slow_tokenizer(folder, lines, "<|endoftext|>").add_tokens([name]) == 1]
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_json(FOLDER / "tokens.json", {"script": "scripts/reference/inversion.py", "cases": cases, "names": NAMES, "free": free})


# ---- models -----------------------------------------------------------------------------------------------------------


def with_rows(m, section: str, count: int):
    """A tiny model whose token table has `count` rows more; returns them."""
    import torch

    width = m.text.config.hidden_size
    before = m.text.get_input_embeddings().weight.detach().clone()
    m.text.resize_token_embeddings(FIRST + count, mean_resizing=False)
    m.text.double()
    table = m.text.get_input_embeddings().weight
    rows = torch.from_numpy(formula(f"{m.name}/{section}/rows", [count, width], "normal-like", 0.05)).double()
    with torch.no_grad():
        table[FIRST:] = rows
    assert torch.equal(table[:FIRST], before)
    return table


def give_contexts(unet, contexts) -> None:
    """Each cross-attention layer, in forward order, attends to its own context."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    layers = [layer for block in blocks for layer in getattr(block, "attentions", [])]
    assert len(layers) == len(contexts) == 16
    for layer, context in zip(layers, contexts):
        for block in layer.transformer_blocks:

            def replace(_module, args, kwargs, context=context):
                assert "encoder_hidden_states" in kwargs
                return args, {**kwargs, "encoder_hidden_states": context}

            block.attn2.register_forward_pre_hook(replace, with_kwargs=True)


def token_rows(pad: int, count: int) -> list[list[int]]:
    """A short caption with the token twice, and one that ends in it after 73 words."""
    token = list(range(FIRST, FIRST + count))
    short = [49406, 320, 1125, 539, *token, 267, *token, 49407]
    words = formula("inversionIds", [75 - count], "integer", 49406).tolist()
    return [short + [pad] * (77 - len(short)), [49406, *words, *token, 49407]]


def write_models() -> None:
    import torch

    from models import FULL, SMALL, Writer, normal
    from tiny_models import CONFIGS, TinyModel

    for name in CONFIGS:
        pad = CONFIGS[name]["text_encoder"]["pad_token_id"]
        width = CONFIGS[name]["unet"]["cross_attention_dim"]
        w = Writer(name)
        w.out |= {"script": "scripts/reference/inversion.py", "name": name}

        m = TinyModel(name)
        table = with_rows(m, "single", 3)
        ids = token_rows(pad, 3)
        tensor = torch.tensor(ids)
        context = m.encode_text(tensor)
        w.put("single", "hidden", context, FULL)
        w.put("single", "clipSkip2", m.final_norm(m.hidden_states(tensor)[-2]), FULL)
        w.out["single"]["ids"] = ids
        latents, timesteps = [2, 16, 8, 4], [17, 801]
        sample = m.predict(normal(f"{name}/single/latents", *latents), torch.tensor(timesteps), context)
        gradient = torch.autograd.grad((sample * normal(f"{name}/single/dy", *sample.shape)).sum(), table)[0]
        w.put("single", "sample", sample, SMALL)
        w.put("single", "drows", gradient[FIRST:], FULL)
        w.out["single"] |= {"latents": latents, "timesteps": timesteps}

        m = TinyModel(name)
        table = with_rows(m, "layered", 32)
        ids = token_rows(pad, 2)
        of_layer = [[[i if i < FIRST else i + 2 * layer for i in r] for r in ids] for layer in range(16)]
        contexts = [m.encode_text(torch.tensor(layer)) for layer in of_layer]
        give_contexts(m.unet, contexts)
        unused = torch.full((2, 77, width), float("nan"), dtype=torch.float64)
        sample = m.predict(normal(f"{name}/layered/latents", *latents), torch.tensor(timesteps), unused)
        loss = (sample * normal(f"{name}/layered/dy", *sample.shape)).sum()
        gradient, *dcontexts = torch.autograd.grad(loss, [table, *contexts])
        w.put("layered", "hidden", torch.stack(contexts), FULL)
        w.put("layered", "sample", sample, FULL)
        w.put("layered", "dcontext", torch.stack(dcontexts), FULL)
        w.put("layered", "drows", gradient[FIRST:], FULL)
        w.out["layered"] |= {"ids": ids, "latents": latents, "timesteps": timesteps}
        write_json(FOLDER / f"{name}.json", w.out)


if __name__ == "__main__":
    {"tokens": write_tokens, "models": write_models}[sys.argv[1]]()
