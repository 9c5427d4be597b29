"""Opens the files of scripts/writeSamples.mjs in PyTorch, NumPy and safetensors, and compares every value with the fixtures.

Needs: torch (CPU), numpy, safetensors. Run from the repository root: python scripts/reference/check_written.py FOLDER
"""

import sys
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

FIXTURES = Path("test/fixtures/torch_files")
FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "out/written")
OUTER = {"epoch": 3, "global_step": 123456, "big": 2**70, "negative": -(2**40), "half": 0.5, "none": None, "yes": True,
         "list": [1, ["x", {"k": -1}]]}


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(expected), set(found) ^ set(expected)
    for name, value in expected.items():
        other = found[name]
        assert (other.dtype, other.shape, other.stride()) == (value.dtype, value.shape, value.stride()), name
        assert torch.equal(other, value), name


def load(name: str, mmap: bool) -> dict:
    value = torch.load(FOLDER / name, weights_only=True, mmap=mmap)
    print(f"torch.load {name:14} weights_only=True mmap={mmap!s:5} {len(value)} entries")
    return value


expected = load_file(FIXTURES / "dtypes.safetensors")
for mmap in (False, True):
    same(load("plain.pt", mmap), expected)
    ordered = load("ordered.bin", mmap)
    assert type(ordered) is OrderedDict
    same(ordered, expected)
    outer = load("outer.ckpt", mmap)
    same(outer.pop("state_dict"), expected)
    assert outer == OUTER, outer
    inversion = load("inversion.pt", mmap)
    assert inversion["name"] == "cat" and torch.equal(inversion["string_to_param"]["*"], torch.tensor([[1.0, 2.0]]))
    many = load("many.ckpt", mmap)["state_dict"]
    assert len(many) == 700
    for index in range(700):
        tensor = many[f"layer.{index}.weight"]
        assert tensor.numel() == (10_000_000 if index == 350 else 3) and bool((tensor == index).all()), index
        assert not mmap or tensor.data_ptr() % 64 == 0
for path in (*FOLDER.glob("*.pt"), *FOLDER.glob("*.ckpt"), *FOLDER.glob("*.bin"), *FOLDER.glob("*.npz")):
    assert zipfile.ZipFile(path).testzip() is None, path
print("zipfile.testzip: every checksum is right")
same(load_file(FOLDER / "all.safetensors"), expected)
with safe_open(FOLDER / "all.safetensors", "pt") as file:
    assert file.metadata() == {"note": "grün"}
    print(f"safe_open all.safetensors {len(file.keys())} tensors")
arrays, originals = np.load(FOLDER / "arrays.npz"), np.load(FIXTURES / "arrays.npz")
assert set(arrays.files) == set(originals.files)
for name in arrays.files:
    assert arrays[name].dtype == originals[name].dtype and np.array_equal(arrays[name], originals[name]), name
    assert arrays[name].shape == originals[name].shape
print(f"numpy.load arrays.npz {len(arrays.files)} arrays")
for name, source in [("learned", "embParams"), ("layers", "xti")]:
    originals = {k: v.float() for k, v in load_file(FIXTURES.parent / "textual_inversion" / f"{source}.safetensors").items()}
    assert set(originals) == {"emb_params"} or len(originals) == 16
    for extension in (".pt", ".ckpt"):
        same(load(name + extension, False), originals)
    same(load_file(FOLDER / f"{name}.safetensors"), originals)
    print(f"load_file {name}.safetensors {len(originals)} tensors")
print("all as expected")
