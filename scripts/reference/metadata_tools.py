"""Runs sd-scripts' tools for metadata files on small inputs and records what they make of them: test/fixtures/metadata_tools/.

usage: metadata_tools.py SD_SCRIPTS, the folder of a checkout of sd-scripts v0.6.6. Nothing of it is copied.
"""

import ast
import contextlib
import importlib.util
import io
import json
import os
import random
import sys
import tempfile
import types
from pathlib import Path

checkout = Path(sys.argv[1])
FOLDER = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "metadata_tools"


def load_enumerator():
    """The one function of library/train_util.py that the tools need, without the packages that the rest of it imports."""
    tree = ast.parse((checkout / "library" / "train_util.py").read_text(encoding="utf-8"))
    wanted = [
        node
        for node in tree.body
        if (isinstance(node, ast.FunctionDef) and node.name == "glob_images_pathlib")
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "IMAGE_EXTENSIONS")
    ]
    library, module = types.ModuleType("library"), types.ModuleType("library.train_util")
    exec(compile(ast.Module(wanted, []), "train_util", "exec"), module.__dict__)
    library.train_util = module
    sys.modules.update({"library": library, "library.train_util": module})


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, checkout / "finetune" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(tool, arguments):
    """What the script does with a command line; the name of the error that ends it, or None."""
    args = tool.setup_parser().parse_args(arguments)
    if getattr(args, "caption_extention", None) is not None:
        args.caption_extension = args.caption_extention
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            tool.main(args)
        except Exception as error:
            return type(error).__name__
    return None


load_enumerator()
cleaner, captions, tags = map(
    load_tool, ("clean_captions_and_tags", "merge_captions_to_metadata", "merge_dd_tags_to_metadata")
)

TAG_CASES = """1girl, solo, long_hair, white_shirt, shirt, blue_eyes, ^_^, rating:safe
2girls, long_hair, blue_hair, red_hair, blue_eyes, red_eyes, light_brown_hair, shirt
multiple_girls, short_hair, long_hair, brown_hair, ponytail, side_braid, hair_ornament, flower_hair_ornament
2boys, black_hair, smile
hair, long_hair, hair_bow, bow
1girl, >_<, t-shirt, shirt, dress, white_dress
rating:safe, 1girl
1girl,solo,blue_eyes
boys, school_boys
1girl, rating:safe, shirt, rating:questionable, dress
solo, ratings are low, shirt
2girls, single_hair_bun, sidelocks, braid, hair_bun
2girls, bob_cut, hime_cut, bob_haircut
2boys, short_sleeves, sleeveless, long sleeves apart
2girls, long_hair, long_hair, pink_hair
2girls, dark-blue hair, red hair, two tone hair
girls, ornament, hair_ornament, big flower_hair_ornament
shirt, shirt, my-white shirt, odd (white) shirt, very white shirt
été, bel été, ünder ünder, 青い猫, 猫, 黒い 猫
a, , b, 
 a,  b ,c, d  , e
2girls, blue eyes, \tred eyes, green eyes 
^_^, ^_^_^, __, _^_^_
cat, black cat, Cat, big black Cat
""".split("\n")

CAPTION_CASES = """a young anime woman and two people
a cartoon anime drawing of an anime cartoon image
personal ladybug, businesswomen and the person in a cartoon figure
anime anime anime girl girl girl
young young young man, youyoung ng girl
a cartoon female and a cartoon women, a cartoon image, a cartoon picture
Young Woman and Lady
an anime lady, an anime female, an anime women, anime character
""".split("\n")

WORDS = """1girl 2girls 2boys multiple_girls solo long_hair short_hair medium_hair blue_hair red_hair light_brown_hair blue_eyes red_eyes
bob_cut hime_cut long_sleeves sleeveless short_sleeves ponytail braid side_braid single_hair_bun hair_bun two_side_up ahoge twintails
shirt white_shirt t-shirt dress white_dress hair_ornament flower_hair_ornament ornament hair hair_bow bow ^_^ >_< rating:safe smile
see-through see-through_shirt cat_(animal) animal school_boys boys""".split()
PHRASES = """a young woman|anime girl|cartoon women|people|person|girl girl|lady|an anime cartoon image|a cartoon figure|female|frog|young|anime
anime|cartoon|a cartoon drawing|and|with|women""".replace("\n", " ").split("|")


def texts():
    draw = random.Random(8)
    yield from ({"tags": case} for case in TAG_CASES)
    yield from ({"caption": case} for case in CAPTION_CASES)
    for _ in range(60):
        separator = draw.choice([", "] * 8 + [",", " , "])
        yield {
            "caption": " ".join(draw.choices(PHRASES, k=draw.randint(1, 8))),
            "tags": separator.join(draw.choices(WORDS, k=draw.randint(1, 16))),
        }
    yield {"other": [1, 1.0, {"x": None}, 1e-7, 123456789012345678901]}
    yield {"caption": None, "tags": None}
    yield {"caption": "Ä\u2028\x7f😀", "train_resolution": [640, 384]}


def cleaned(entry):
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.json"), Path(folder, "out.json")
        source.write_text(json.dumps({"key": entry}), encoding="utf-8")
        error = run(cleaner, [str(source), str(target)])
        return {"in": source.read_text(), "out": None if error else target.read_text(), "error": error}


SMALL = {"train_data/x.png": "", "train_data/x.caption": "a cat\n", "train_data/x.txt": "cat, 1girl\n"}
MANY = {
    **{f"pics/{name}": "" for name in ("b.PNG", "a/z.jpg", "a.webp", ".hidden.bmp", "a/B/é ü.jpeg", "a b.jpg", "notes.md", "a/.x/c.d.png")},
    "pics/b.cap": "  two\r\nlines \x1c\n", "pics/a/z.cap": "\ufeff mark ", "pics/a.cap": "", "pics/.hidden.cap": "\u3000wide\u3000",
    "pics/a/B/é ü.cap": "é \"quoted\" \\ \x7f\n\n", "pics/a b.cap": "\t\x0btab\x85", "pics/a/.x/c.d.cap": "dots\rand returns",
}
EARLIER = '{"x":{"caption":"old","z":[1.0,{}]},"y":{"tags":"kept"},"train_data/x.png":{"n":1e3}}'
MERGE_CASES = [
    ("captions", SMALL, ["--full_path", "train_data", "out.json"]),
    ("tags", {**SMALL, "m1.json": '{"train_data/x.png": {"caption": "a cat"}}'}, ["--full_path", "--in_json", "m1.json", "train_data", "out.json"]),
    ("captions", SMALL, ["train_data", "out.json"]),
    ("tags", SMALL, ["./train_data//", "out.json", "--full_path"]),
    ("captions", {**SMALL, "out.json": EARLIER}, ["train_data", "out.json"]),
    ("captions", {**SMALL, "out.json": EARLIER}, ["train_data", "out.json", "--full_path"]),
    ("tags", {**SMALL, "out.json": "no JSON", "in.json": EARLIER}, ["train_data", "out.json", "--in_json", "in.json"]),
    ("captions", SMALL, ["train_data", "out.json", "--in_json", "missing.json"]),
    ("captions", SMALL, ["train_data", "out.json", "--recursive"]),
    ("captions", SMALL, ["train_data", "out.json", "--caption_extension", "txt"]),
    ("captions", SMALL, ["train_data", "out.json", "--caption_extension", ".md"]),
    ("captions", SMALL, ["train_data", "out.json", "--caption_extention", ".txt", "--caption_extension", ".md"]),
    ("captions", MANY, ["pics", "out.json", "--caption_extension", ".cap", "--full_path", "--recursive"]),
    ("tags", MANY, ["pics/../pics/.", "out.json", "--caption_extension", ".cap", "--full_path"]),
    ("tags", MANY, ["pics", "out.json", "--caption_extension", ".cap"]),
    ("captions", {f"{i}.jpg": "" for i in range(12)} | {f"{i}.caption": f"number {i}" for i in range(12)}, [".", "out.json", "--full_path"]),
]


def merged(kind, files, arguments):
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8"))
        os.chdir(folder)
        try:
            error = run(captions if kind == "captions" else tags, arguments)
            out = None if error else Path("out.json").read_text()
        finally:
            os.chdir(before)
    return {"kind": kind, "files": files, "arguments": arguments, "out": out, "error": error}


FOLDER.mkdir(parents=True, exist_ok=True)
result = {"clean": [cleaned(entry) for entry in texts()], "merge": [merged(*case) for case in MERGE_CASES]}
(FOLDER / "tools.json").write_text(json.dumps(result, indent=1) + "\n")
print(len(result["clean"]), "cleaned,", len(result["merge"]), "merged; errors:")
for case in result["clean"] + result["merge"]:
    if case["error"]:
        print(" ", case["error"], case.get("in") or case["arguments"])
