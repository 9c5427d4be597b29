"""Writes test/fixtures/torch_files/: small files by torch.save and numpy.savez, with their values as safetensors beside them.

Needs: torch (CPU), numpy, safetensors. Run from the repository root: python scripts/reference/torch_files.py
"""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

FOLDER = Path("test/fixtures/torch_files")


def save(name: str, value: object, **options: object) -> None:
    torch.save(value, FOLDER / name, **options)


def expected(name: str, tensors: dict[str, torch.Tensor]) -> None:
    save_file({key: value.detach().clone().contiguous() for key, value in tensors.items()}, FOLDER / name)


def dtypes() -> dict[str, torch.Tensor]:
    values = torch.arange(-6, 6).reshape(3, 4)
    signed = (torch.int64, torch.int32, torch.int16, torch.int8, torch.float64, torch.float32)
    tensors = {f"as.{dtype}".replace("torch.", ""): values.to(dtype) for dtype in signed}
    tensors["as.bfloat16"] = (values * 0.3).to(torch.bfloat16)
    tensors["as.float16"] = (values * 0.3).to(torch.float16)
    for dtype in (torch.uint8, torch.uint16, torch.uint32, torch.uint64):
        tensors[f"as.{dtype}".replace("torch.", "")] = (values + 6).to(dtype)
    tensors["as.bool"] = values > 0
    tensors["scalar"] = torch.tensor(4.5)
    tensors["empty"] = torch.zeros(2, 0, 3)
    return tensors


def views() -> dict[str, torch.Tensor]:
    """Tensors that share one storage, with offsets, strides, repeats; a parameter and tied weights."""
    base = torch.arange(120, dtype=torch.float32)
    cube = base.reshape(4, 5, 6)
    tied = torch.nn.Parameter(torch.linspace(-1, 1, 8).reshape(2, 4))
    return {
        "whole": base,
        "rows": cube[1:3],
        "columns": cube[:, :, 2],
        "steps": base[3::7],
        "turned": cube.permute(2, 0, 1),
        "transposed": torch.arange(12, dtype=torch.bfloat16).reshape(3, 4).t(),
        "bytes": torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4).permute(1, 2, 0),
        "longs": torch.arange(10).reshape(2, 5).t(),
        "repeated": torch.tensor([1.0, 2.0]).expand(3, 2),
        "one": cube[2:3, 1:2, 4:5],
        "parameter": tied,
        "tied": tied,
    }


def lightning() -> None:
    """The outer form of old Stable Diffusion files: unknown callback classes beside the tensors."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")

    class ModelCheckpoint:
        pass

    ModelCheckpoint.__module__ = module.__name__
    ModelCheckpoint.__qualname__ = "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    callback = ModelCheckpoint()
    callback.best = {"path": "last.ckpt", "score": np.float64(0.25)}
    state = torch.nn.Linear(3, 2).state_dict()
    for index, value in enumerate(state.values()):
        value.copy_(torch.arange(value.numel()).reshape(value.shape) + index)
    save("lightning.ckpt", {
        "epoch": 3, "global_step": 470000, "pytorch-lightning_version": "1.4.2", "state_dict": state,
        "callbacks": {ModelCheckpoint: {"monitor": "val", "best_model_score": torch.tensor(0.5)}, "other": callback},
        "optimizer_states": [{"state": {0: {"step": 7, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]}],
        "lr_schedulers": [], "big": 2**70, "negative": -(2**40), "half": 0.5, "none": None, "yes": True,
        "set": {1, 2}, "frozen": frozenset(["a"]), "raw": b"\x00\xff", "numpy": np.arange(3), "size": torch.Size([2, 3]),
        "dtype": torch.float16, "device": torch.device("cuda", 1),
    })
    expected("lightning.safetensors", state)


def protocols() -> None:
    """One value by every protocol; what Python reads is what `value` in test/io/pickle.test.ts says."""
    value = OrderedDict([
        ("ints", [0, 1, 255, 256, 65535, 65536, -1, -129, 2**31, -(2**31) - 1, 2**53, 2**64, -(2**80)]),
        ("floats", (0.5, -1e300, float("inf"))), ("texts", ["", "grün \U0001f438", "line\nend 'quoted' \\ \"", "x" * 300]),
        ("bytes", [b"", b"\x00\xff\n", bytearray(b"ab")]), ("constants", [None, True, False]),
        ("tuples", [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]), ("set", {1}), ("frozen", frozenset([2])),
        ("dict", {1: "one", "k": {"nested": [[]]}}), ("complex", 1 + 2j),
    ])
    shared = ["shared"]
    value["shared"] = [shared, shared]
    for protocol in range(6):
        (FOLDER / f"protocol{protocol}.pkl").write_bytes(pickle.dumps(value, protocol=protocol))


class Command:
    """Asks whoever loads it to run a harmless command: hostile.pt is what an attacker would send."""

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("echo this pickle was executed",)


def hostile() -> None:
    save("hostile.pt", {"weight": torch.ones(2), "trap": Command()})
    save("hostileRoot.pt", Command())


def arrays() -> dict[str, np.ndarray]:
    values = np.arange(-6, 6).reshape(3, 4)
    result = {dtype: values.astype(dtype) for dtype in ("f2", "f4", "f8", "i1", "i2", "i4", "i8")}
    result |= {dtype: (values + 6).astype(dtype) for dtype in ("u1", "u2", "u4", "u8")}
    result["b1"] = values > 0
    result["scalar"] = np.float32(4.5)
    result["empty"] = np.zeros((2, 0), np.float32)
    result["fortran"] = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    return result


FOLDER.mkdir(parents=True, exist_ok=True)
save("dtypes.pt", dtypes())
expected("dtypes.safetensors", dtypes())
for protocol in (2, 3, 4, 5):
    save(f"views{protocol}.pt", views(), pickle_protocol=protocol)
expected("views.safetensors", views())
save("ordered.bin", OrderedDict(a=torch.ones(2), b=torch.zeros(1, dtype=torch.float16)))
save("inversion.pt", {
    "string_to_token": {"*": 265}, "string_to_param": torch.nn.ParameterDict({"*": torch.nn.Parameter(torch.ones(2, 4))}).state_dict(),
    "name": "cat", "step": 99, "sd_checkpoint": "abc", "sd_checkpoint_name": "model",
})
save("float8.pt", {"w": torch.ones(2).to(torch.float8_e4m3fn)})
save("module.pt", torch.nn.Linear(2, 2))
save("tensor.pt", torch.ones(2))
save("legacy.ckpt", {"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
lightning()
protocols()
hostile()
np.savez(FOLDER / "arrays.npz", **arrays())
expected("arrays.safetensors", {key: torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape)) for key, value in arrays().items()})
np.savez_compressed(FOLDER / "compressed.npz", a=np.zeros(100, np.float32))
np.savez(FOLDER / "objects.npz", a=np.array([{}, None], dtype=object))
with io.BytesIO() as stream:
    torch.save({"a": torch.ones(40)}, stream)
    with zipfile.ZipFile(stream) as stored, zipfile.ZipFile(FOLDER / "compressed.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
