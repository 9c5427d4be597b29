"""Writes test/fixtures/conditioning/{tinySd1,tinySd2}.json: captions to token rows to hidden states, with tiny text encoders.

The ids are transformers' own: CLIPTokenizer on OpenAI's merge list with each version's padding token, padded and truncated by
the library to 77, 152 or 227. Long sequences are then cut into rows of 77 for the text encoder and its hidden states put
together again as the LoRA trainers that the file format comes from do it; the rules are written out in `rows_of` and
`assemble`. The id of a digest is '<model>/<length>/skip<clip skip>'.
"""

import numpy as np
import torch
import transformers

from digest import digest
from formula import FIXTURES, write_json
from tokenizer import merges, vocabulary

BOS, EOS = 49406, 49407
LENGTHS = [77, 152, 227]
INNER = 75

SHORT = "a photo of a cat, sitting on a sofa"
LOUD = "wow! a cat!! no way !"
EMPTY = ""
LONG = (
    "masterpiece, best quality, 1girl, solo, long silver hair, blue eyes, detailed face, white dress with lace trim, standing in a "
    "field of sunflowers at dusk, wind, petals flying, dramatic clouds, rim lighting, depth of field, 85mm lens, film grain, "
    "muted colours, trending on artstation, highly detailed background, volumetric light, painterly brush strokes, "
)


def exactly(count: int) -> str:
    """A caption of so many tokens."""
    words = ["cat", "dog", "tree", "house", "river", "cloud", "red"]
    return " ".join(words[i % len(words)] for i in range(count))


def captions() -> list[str]:
    """Around every place where a row ends: 74, 75 and 76 tokens, 149 to 151, 224 to 226."""
    # The last two have the padding token of 2.x as text, at the end of the first row and at the start of the second.
    bangs = [f"{exactly(74)} ! {exactly(30)}", f"{exactly(75)} ! {exactly(30)}"]
    return [SHORT, LOUD, EMPTY, LONG, LONG * 3, *(exactly(n) for n in (74, 75, 76, 149, 150, 151, 224, 225, 226)), *bangs]


def make_tokenizer(pad: str):
    lines = merges()
    tokenizer = transformers.CLIPTokenizer(vocab=vocabulary(lines), merges=[tuple(line.split(" ")) for line in lines], pad_token=pad)
    assert tokenizer.bos_token_id == BOS and tokenizer.eos_token_id == EOS
    return tokenizer


def sequence_of(tokenizer, caption: str, length: int) -> list[int]:
    """start, content, end, padding: exactly `length` ids."""
    return tokenizer(caption, padding="max_length", truncation=True, max_length=length).input_ids


def rows_of(sequence: list[int], pad: int) -> list[list[int]]:
    """A sequence of 75k + 2 ids as k rows: start, 75 ids, the sequence's last id.

    With another padding token than the end token (2.x), a row whose second-to-last id is neither of them ends with the end
    token, and a row that starts with padding has the end token there.
    """
    if len(sequence) == 77:
        return [sequence]
    rows = []
    for i in range(1, len(sequence) - 1, INNER):
        row = [sequence[0], *sequence[i : i + INNER], sequence[-1]]
        if pad != EOS:
            if row[-2] not in (EOS, pad):
                row[-1] = EOS
            if row[1] == pad:
                row[1] = EOS
        rows.append(row)
    return rows


def assemble(hidden: torch.Tensor, rows: int) -> torch.Tensor:
    """[captions * rows, 77, d] -> [captions, 75 * rows + 2, d]: first position, 1 .. 75 of every row, last position."""
    if rows == 1:
        return hidden
    n, _, d = hidden.shape
    grouped = hidden.reshape(n // rows, rows, 77, d)
    return torch.cat([grouped[:, 0, :1], grouped[:, :, 1 : INNER + 1].reshape(n // rows, -1, d), grouped[:, -1, -1:]], dim=1)


def main() -> None:
    from tiny_models import CONFIGS, TinyModel

    texts = captions()
    for name in CONFIGS:
        pad = CONFIGS[name]["text_encoder"]["pad_token_id"]
        tokenizer = make_tokenizer("!" if pad == 0 else "<|endoftext|>")
        assert tokenizer.pad_token_id == pad
        m = TinyModel(name)
        out = {"script": "scripts/reference/conditioning.py", "name": name, "pad": pad, "captions": texts, "lengths": {}}
        for length in LENGTHS:
            rows = [rows_of(sequence_of(tokenizer, text, length), pad) for text in texts]
            ids = torch.tensor(np.array(rows).reshape(-1, 77))
            with torch.no_grad():
                states = m.hidden_states(ids)
            out["lengths"][str(length)] = {"rows": rows}
            for skip in (1, 2, 3):
                with torch.no_grad():
                    y = assemble(m.final_norm(states[-skip]), len(rows[0]))
                entry = digest(f"{name}/{length}/skip{skip}", y, samples=200)
                del entry["id"]
                out["lengths"][str(length)][f"skip{skip}"] = entry
        write_json(FIXTURES / "conditioning" / f"{name}.json", out)


if __name__ == "__main__":
    main()
