"""Part of data_oracle.py: token ids of captions in rows for the text encoder, and weighted captions."""

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from transformers import CLIPTokenizer

from formula import formula
from sd_scripts import Reference, quiet
from tokenizer import merges, vocabulary

CATS = [" ".join(["cat"] * n) for n in (74, 75, 76, 100, 149, 150, 151, 224, 225, 226)]
CAPTIONS = [
    "", " ", "a photo of a cat", "1girl, solo, red hat, (blue eyes), 2023", "A  Photo,\n of\ta CAT", "it's don't we're",
    "café naïve", "北京 烤鸭", "👩 family", "antidisestablishmentarianism", "<|endoftext|> in the middle", "stop! now!",
    ", , ,", *CATS,
]  # fmt: skip

WEIGHTED = [
    "", "a photo of a cat", "an (important) word", "a ((very)) [small] cat", "(a cat:1.3) and [a dog]",
    "(unbalanced [twice", "closed) twice]", r"\(literal\] \\ \[x\)", "(unnecessary)(parens)",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).", "time: 12:30, (a:b:1.2)",
    "(a:) (b: 1.5 ) (c:.5) (d:-1) (e:1e3)", "[a:1.2]", "(:1.2)", "()", "(one\ntwo:1.5)",
    "(nested (inner:2) outer:0.5)", "a (cat:0) b",
    "(" + CATS[0] + ":1.2) dog (dog)", "b " * 80 + "(end:1.5)",
]  # fmt: skip

# Batches of indices into WEIGHTED, with max_token_length // 75 and clip_skip.
BATCHES = [
    ([1, 2], 1, None),
    ([9, 19], 1, None),
    ([9, 18, 0], 2, None),
    ([19, 4], 3, 2),
    ([1, 4], 3, None),
    ([18], 3, 1),
]
FEATURES = 2


def tokenizers() -> dict[str, CLIPTokenizer]:
    lines = merges()
    with tempfile.TemporaryDirectory() as folder:
        vocab, merge_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps(vocabulary(lines)), encoding="utf-8")
        merge_file.write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
        make = lambda pad: CLIPTokenizer(str(vocab), str(merge_file), pad_token=pad, model_max_length=77)  # noqa: E731
        return {"sd1": make("<|endoftext|>"), "sd2": make("!")}


def input_ids(
    reference: Reference, tokenizer: CLIPTokenizer, caption: str, max_token_length: int | None
) -> list[list[int]]:
    dataset = SimpleNamespace(
        tokenizer=tokenizer, tokenizer_max_length=77 if max_token_length is None else max_token_length + 2
    )
    return reference.train.BaseDataset.get_input_ids(dataset, caption).tolist()


class Encoder:
    """In place of a text encoder: hidden states by formula, one name for each call and layer; keeps the ids it was given."""

    def __init__(self, case: int):
        self.case = case
        self.calls: list[list[list[int]]] = []
        self.text_model = SimpleNamespace(final_layer_norm=lambda x: x)

    def __call__(self, ids: torch.Tensor, output_hidden_states=False, return_dict=False):
        shape = [*ids.shape, FEATURES]
        hidden = torch.from_numpy(formula(f"weighted/{self.case}/{len(self.calls)}", shape, "uniform", 1.0, 0.5))
        self.calls.append(ids.tolist())
        # Every hidden state is the same: which of them is taken is not what this fixture is about.
        return {"hidden_states": [hidden] * 4} if output_hidden_states else (hidden,)


def weighted_batch(
    reference: Reference, tokenizer: CLIPTokenizer, case: int, prompts: list[int], multiples: int, clip_skip
) -> dict:
    encoder, weights = Encoder(case), []
    pad = reference.custom.pad_tokens_and_weights

    def keep_weights(*arguments, **options):
        tokens, padded = pad(*arguments, **options)
        weights.extend(padded)
        return tokens, padded

    reference.custom.pad_tokens_and_weights = keep_weights
    try:
        with quiet():
            output = reference.custom.get_weighted_text_embeddings(
                tokenizer, encoder, [WEIGHTED[i] for i in prompts], "cpu", multiples, False, clip_skip
            )
    finally:
        reference.custom.pad_tokens_and_weights = pad
    return {
        "prompts": prompts,
        "multiples": multiples,
        "clipSkip": clip_skip,
        "chunks": encoder.calls,
        "weights": weights,
        "output": [[float(f"{x:.7g}") for x in row.ravel()] for row in output.numpy()],
    }


def record_tokens(reference: Reference) -> dict:
    made = tokenizers()
    captions = []
    for caption in CAPTIONS:
        lengths = (None, 150, 225) if caption in CATS or len(captions) < 5 else (None,)
        rows = {
            name: {str(n or 75): input_ids(reference, each, caption, n) for n in lengths} for name, each in made.items()
        }
        captions.append({"text": caption, **rows})
    prompts = []
    for text in WEIGHTED:
        parsed = reference.custom.parse_prompt_attention(text)
        with quiet():
            tokens, weights = reference.custom.get_prompts_with_weights(made["sd1"], [text], 75)
        prompts.append({"text": text, "parsed": parsed, "tokens": tokens[0], "weights": weights[0]})
    batches = {
        name: [
            weighted_batch(reference, each, i, *batch)
            for i, batch in enumerate(BATCHES if name == "sd1" else BATCHES[2:4])
        ]
        for name, each in made.items()
    }
    return {"captions": captions, "weighted": {"prompts": prompts, "features": FEATURES, "batches": batches}}
