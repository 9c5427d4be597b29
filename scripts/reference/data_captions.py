"""Part of data_oracle.py: captions from files, and captions after every option with scripted randomness."""

import base64
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

from sd_scripts import Reference, quiet, scripted

TAGS = "1girl, red hat, blue eyes, smiling, outdoors, tree, sky, cloud, grass, sun"
UNTIDY = "  one,two ,, three , four,  "
SEPARATED = "kept one, kept two ||| free one, free two,, free three ||| tail one, tail two"
LINES = "a {red|green|blue} hat, {one}, {{literal}}\nthe second {line|row}, tag\nthird line, x|y"

# (caption, options, what the data set knows); options that are left out have their defaults, 0 and off.
ERA_CASES = [
    (UNTIDY, {}, {}),
    (UNTIDY, {"keepTokens": 2}, {}),
    ("first line, a\nsecond, b", {}, {}),
    (TAGS, {"shuffleCaption": True}, {}),
    (TAGS, {"shuffleCaption": True, "keepTokens": 1}, {}),
    (TAGS, {"shuffleCaption": True, "keepTokens": 3}, {}),
    (TAGS, {"shuffleCaption": True, "keepTokens": 20}, {}),
    (UNTIDY, {"shuffleCaption": True}, {}),
    (UNTIDY, {"shuffleCaption": True, "keepTokens": 3}, {}),
    ("", {"shuffleCaption": True}, {}),
    ("only one", {"shuffleCaption": True, "captionTagDropoutRate": 0.5}, {}),
    ("a photo of (a cat, a dog:1.2), end\nsecond line", {"shuffleCaption": True}, {}),
    *[(TAGS, {"captionDropoutRate": rate}, {}) for rate in (0.1, 0.5, 0.5, 0.9, 1.0)],
    *[(TAGS, {"captionDropoutEveryNEpochs": n}, {"epoch": e}) for n in (1, 2, 3) for e in (0, 1, 2, 3)],
    *[(TAGS, {"captionDropoutRate": 0.5, "captionDropoutEveryNEpochs": 2}, {"epoch": e}) for e in (1, 2, 3, 4)],
    *[(TAGS, {"captionTagDropoutRate": rate}, {}) for rate in (0.1, 0.5, 0.9, 1.0)],
    *[(TAGS, {"captionTagDropoutRate": 0.5, "keepTokens": k}, {}) for k in (1, 4)],
    (UNTIDY, {"captionTagDropoutRate": 0.3}, {}),
    *[(TAGS, {"tokenWarmupStep": 100}, {"step": s}) for s in (0, 1, 11, 12, 50, 99, 100, 1000)],
    *[(TAGS, {"tokenWarmupStep": 100, "tokenWarmupMin": m}, {"step": s}) for m in (0, 3, 12) for s in (0, 49, 99)],
    *[(TAGS, {"tokenWarmupStep": 0.25}, {"step": s, "maxTrainSteps": 403}) for s in (0, 50, 99, 100)],
    (TAGS, {"tokenWarmupStep": 0.25}, {"step": 0, "maxTrainSteps": 3}),
    # 49 * (2 / 98) is just below 1: the reference divides first.
    ("one, two, three", {"tokenWarmupStep": 98}, {"step": 49}),
    *[(TAGS, {"tokenWarmupStep": 10, "keepTokens": 3, "shuffleCaption": True}, {"step": s}) for s in (0, 4, 9)],
    *[
        (
            TAGS,
            {
                "shuffleCaption": True,
                "keepTokens": 2,
                "captionDropoutRate": 0.2,
                "captionTagDropoutRate": 0.3,
                "tokenWarmupStep": 40,
            },
            {"step": s, "epoch": 1},
        )
        for s in (0, 20, 30, 39, 40)
    ],
    ("a sks dog, sks", {}, {"replacements": [["sks", "sks sks1 sks2"]]}),
    ("a sks dog, sks", {"shuffleCaption": True}, {"replacements": [["sks", "sks sks1 sks2"]]}),
    ("a sks dog", {"captionDropoutRate": 1.0}, {"replacements": [["sks", "sks sks1"]]}),
    *[
        ("ignored", {}, {"replacements": [["", ["a photo of a sks", "a rendering of a sks", "the sks"]]]})
        for _ in range(3)
    ],
    (
        "ignored",
        {"shuffleCaption": True},
        {"replacements": [["", ["a photo of a sks", "the sks"]], ["sks", "sks sks1"]]},
    ),
]

NEWER_CASES = [
    (TAGS, {"captionPrefix": "best,", "captionSuffix": ", by me"}, {}),
    (TAGS, {"captionPrefix": "best,", "captionSuffix": ", by me", "shuffleCaption": True, "keepTokens": 1}, {}),
    ("", {"captionPrefix": "before", "captionSuffix": "after"}, {}),
    (TAGS, {"captionPrefix": "best", "captionDropoutRate": 1.0}, {}),
    (LINES, {}, {}),
    *[(LINES, {"enableWildcard": True}, {}) for _ in range(6)],
    *[(LINES, {"enableWildcard": True, "shuffleCaption": True}, {}) for _ in range(2)],
    *[("{a|b|} {c|d} {} {{e|f}} }} {{ {g|{h}|i} {unclosed|x", {"enableWildcard": True}, {}) for _ in range(3)],
    *[("{2$$a|b} ⦅kept⦆ {{x}} {y|z}", {"enableWildcard": True}, {}) for _ in range(2)],
    (LINES, {"enableWildcard": True, "captionPrefix": "{p|q}"}, {}),
    (SEPARATED, {"keepTokensSeparator": "|||"}, {}),
    *[(SEPARATED, {"keepTokensSeparator": "|||", "shuffleCaption": True}, {}) for _ in range(2)],
    (SEPARATED, {"keepTokensSeparator": "|||", "shuffleCaption": True, "keepTokens": 1}, {}),
    (SEPARATED, {"keepTokensSeparator": "|||", "captionTagDropoutRate": 0.5}, {}),
    (SEPARATED + " ||| a third", {"keepTokensSeparator": "|||", "shuffleCaption": True}, {}),
    ("one ||| two, three,, four", {"keepTokensSeparator": "|||", "shuffleCaption": True}, {}),
    ("||| two, three", {"keepTokensSeparator": "|||", "shuffleCaption": True}, {}),
    (UNTIDY, {"keepTokensSeparator": "|||", "shuffleCaption": True, "keepTokens": 1}, {}),
    *[
        (SEPARATED, {"keepTokensSeparator": "|||", "tokenWarmupStep": 10, "tokenWarmupMin": 1}, {"step": s})
        for s in (0, 5, 9, 10)
    ],
    *[(TAGS, {"keepTokens": 3, "tokenWarmupStep": 10, "shuffleCaption": True}, {"step": s}) for s in (0, 4, 9)],
    ("sky;;;cloud, tree, a;;;b;;;c", {"secondarySeparator": ";;;"}, {}),
    ("sky;;;cloud, tree, a;;;b;;;c", {"secondarySeparator": ";;;", "shuffleCaption": True}, {}),
    ("sky;;;cloud; tree; a;;;b", {"secondarySeparator": ";;;", "captionSeparator": "; ", "shuffleCaption": True}, {}),
    ("one|two| three , four |five", {"captionSeparator": "|", "shuffleCaption": True}, {}),
    ("one|two| three , four |five", {"captionSeparator": "|", "shuffleCaption": True, "keepTokens": 2}, {}),
    ("one|two|five", {"captionSeparator": "|"}, {}),
    ("first, a\nsecond, b", {"shuffleCaption": True}, {}),
    *[
        (
            "kept {one|two} ||| sky;;;cloud, tree, {a|b}, grass ||| tail\nother {x|y} ||| m, n, o",
            {
                "captionPrefix": "pre,",
                "captionSuffix": ", post",
                "enableWildcard": True,
                "keepTokensSeparator": "|||",
                "secondarySeparator": ";;;",
                "shuffleCaption": True,
                "captionTagDropoutRate": 0.2,
                "captionDropoutRate": 0.1,
            },
            {},
        )
        for _ in range(4)
    ],
]

DEFAULTS = {
    "shuffleCaption": False, "keepTokens": 0, "captionDropoutRate": 0.0, "captionDropoutEveryNEpochs": 0,
    "captionTagDropoutRate": 0.0, "tokenWarmupMin": 1, "tokenWarmupStep": 0, "captionPrefix": None,
    "captionSuffix": None, "keepTokensSeparator": None, "secondarySeparator": None, "enableWildcard": False,
    "captionSeparator": ",",
}  # fmt: skip


def snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name)


def process(reference: Reference, version: str, index: int, caption: str, options: dict, state: dict) -> dict:
    subset = SimpleNamespace(**{snake(name): value for name, value in (DEFAULTS | options).items()})
    dataset = SimpleNamespace(
        current_epoch=state.get("epoch", 1),
        current_step=state.get("step", 0),
        max_train_steps=state.get("maxTrainSteps", 0),
        replacements=dict(state.get("replacements", [])),
    )
    with scripted(reference.train, f"captions/{index}") as generator:
        result = reference.train.BaseDataset.process_caption(dataset, subset, caption)
    return {
        "version": version,
        "caption": caption,
        "options": options,
        **state,
        "draws": generator.draws,
        "result": result,
    }


def record_captions(reference: Reference, newer: Reference) -> dict:
    era = [process(reference, "v0.6.6", i, *case) for i, case in enumerate(ERA_CASES)]
    later = [process(newer, "v0.9.1", i, *case) for i, case in enumerate(ERA_CASES + NEWER_CASES)]
    # Cases of the older options only where the newer version differs from the older one.
    shared = [case for case, old in zip(later, era) if case["result"] != old["result"] or case["draws"] != old["draws"]]
    return {"defaults": DEFAULTS, "cases": era + shared + later[len(era) :]}


# (name, files, picture, extension, class_tokens, wildcards)
SOURCES = [
    ("a plain caption", {"a.caption": b"a cat\n"}, "a.png", ".caption", None, False),
    ("an extension without its dot", {"a.txt": b"a cat"}, "a.png", "txt", None, False),
    ("no file", {}, "a.png", ".caption", None, False),
    ("no file but class tokens", {}, "a.png", ".caption", "sks dog", False),
    ("no file but empty class tokens", {}, "a.png", ".caption", "", False),
    ("a file beats class tokens", {"a.caption": b"a cat"}, "a.png", ".caption", "sks dog", False),
    ("a blank first line beats class tokens", {"a.caption": b"  \nsecond"}, "a.png", ".caption", "sks dog", False),
    ("an empty file", {"a.caption": b""}, "a.png", ".caption", "sks dog", False),
    ("a byte order mark", {"a.caption": b"\xef\xbb\xbfa cat, hat"}, "a.png", ".caption", None, False),
    ("a byte order mark and nothing else", {"a.caption": b"\xef\xbb\xbf"}, "a.png", ".caption", None, False),
    ("no UTF-8", {"a.caption": b"caf\xe9"}, "a.png", ".caption", None, False),
    ("several lines", {"a.caption": b" first, one \nsecond\n"}, "a.png", ".caption", None, False),
    ("lines of Windows", {"a.caption": b"first\r\nsecond\r\n"}, "a.png", ".caption", None, False),
    ("lines of old Macs", {"a.caption": b"first\rsecond"}, "a.png", ".caption", None, False),
    ("other line breaks of Unicode", {"a.caption": "one\u2028two\x0bthree\x85four".encode()}, "a.png", ".caption", None, False),
    ("white space of Unicode around", {"a.caption": "\u3000\xa0cat\u2003\n".encode()}, "a.png", ".caption", None, False),
    ("control characters around", {"a.caption": b"\x1ccat\x1f\n"}, "a.png", ".caption", None, False),
    ("numbers of a face", {"a.caption": b"of a face"}, "a_0010_0020_0030_0040.png", ".caption", None, False),
    ("numbers of a face with its own file", {"a.caption": b"x", "a_1_2_3_4.caption": b"own"}, "a_1_2_3_4.png", ".caption", None, False),
    ("any four pieces count as a face", {"my.caption": b"mine"}, "my_photo_of_a_cat.png", ".caption", None, False),
    ("three pieces do not", {"a.caption": b"x"}, "a_b_c_d.png", ".caption", "class", False),
    ("a dot in the name", {"a.b.caption": b"dots"}, "a.b.png", ".caption", None, False),
    ("wildcards take every line", {"a.caption": b" one \n\n two\r\nthree"}, "a.png", ".caption", None, True),
    ("wildcards with blank lines only", {"a.caption": b"\n \n"}, "a.png", ".caption", "class", True),
]  # fmt: skip


def read_source(
    reference: Reference, newer: Reference, files: dict, picture: str, extension: str, class_tokens, wildcard: bool
) -> dict:
    chosen = newer if wildcard else reference
    values = {"image_dir": ".", "class_tokens": class_tokens, "caption_extension": extension}
    if wildcard:
        values["enable_wildcard"] = True
    subset = chosen.train.DreamBoothSubset(**asdict(chosen.config.DreamBoothSubsetParams(**values)))
    parameters = chosen.config.DreamBoothDatasetParams(
        tokenizer=SimpleNamespace(model_max_length=77), resolution=(64, 64)
    )
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, quiet():
        os.chdir(folder)
        try:
            for name, data in {**files, picture: b""}.items():
                Path(name).write_bytes(data)
            dataset = chosen.train.DreamBoothDataset([subset], **asdict(parameters))
            return {"result": next(iter(dataset.image_data.values())).caption}
        except (AssertionError, UnicodeDecodeError) as error:
            return {"error": type(error).__name__}
        finally:
            os.chdir(before)


def record_sources(reference: Reference, newer: Reference) -> dict:
    cases = []
    for name, files, picture, extension, class_tokens, wildcard in SOURCES:
        found = read_source(reference, newer, files, picture, extension, class_tokens, wildcard)
        encoded = {file: base64.b64encode(data).decode() for file, data in files.items()}
        case = {
            "name": name,
            "files": encoded,
            "picture": picture,
            "captionExtension": extension,
            "classTokens": class_tokens,
        }
        cases.append({**case, "enableWildcard": wildcard, **found})
    return {"cases": cases}
