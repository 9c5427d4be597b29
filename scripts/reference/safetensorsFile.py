"""Writes test/fixtures/safetensorsFile/: a small file made by the safetensors package, and what 16-bit conversions must give.

Needs: safetensors, torch (CPU). Run from the repository root: python scripts/reference/safetensorsFile.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path("test/fixtures/safetensorsFile")


def all_dtypes() -> dict[str, torch.Tensor]:
    values = torch.arange(-6, 6).reshape(3, 4)
    tensors = {f"as.{dtype}".replace("torch.", ""): values.to(dtype) for dtype in
               (torch.int64, torch.int32, torch.int16, torch.int8, torch.float64, torch.float32)}
    tensors["as.bfloat16"] = (values * 0.3).to(torch.bfloat16)
    tensors["as.float16"] = (values * 0.3).to(torch.float16)
    tensors["as.uint8"] = (values + 6).to(torch.uint8)
    tensors["as.bool"] = values > 0
    tensors["scalar"] = torch.tensor(4.5)
    tensors["empty"] = torch.zeros(2, 0, 3)
    # Names that a careless writer puts in another order: numbers, upper case, one outside the basic plane.
    for name in ("10", "9", "B", "a", "\U0001f438", "\uffee"):
        tensors[f"order.{name}"] = torch.full((2,), float(len(tensors)))
    return tensors


def conversions() -> dict[str, torch.Tensor]:
    """float32 values where rounding matters, and their 16-bit forms as torch rounds them."""
    generator = torch.Generator().manual_seed(1)
    bits = torch.randint(-(2**31), 2**31, (4096,), generator=generator, dtype=torch.int64).to(torch.int32)
    anything = bits.view(torch.float32)
    near_half = torch.randn(4096, generator=generator) * 2.0 ** torch.randint(-30, 18, (4096,), generator=generator)
    # Exact ties of both formats: a 16-bit value, plus half a step.
    halves = torch.arange(0, 0x7C00, 7, dtype=torch.int16).view(torch.float16).float()
    nexts = (torch.arange(0, 0x7C00, 7, dtype=torch.int16) + 1).view(torch.float16).float()
    ties16 = (halves + nexts) / 2
    ties_b = ((torch.arange(0, 0x7F80, 7, dtype=torch.int32) << 16) | 0x8000).view(torch.float32)
    edges = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), 65504.0, 65519.99, 65520.0, 3.4e38, 2.0**-24, 2.0**-25, 2.0**-26, 1e-45])
    values = torch.cat([anything, near_half, ties16, ties_b, edges])
    values = values[~values.isnan()].contiguous()
    return {"values": values, "float16": values.to(torch.float16), "bfloat16": values.to(torch.bfloat16)}


FOLDER.mkdir(parents=True, exist_ok=True)
save_file(all_dtypes(), FOLDER / "allDtypes.safetensors", metadata={"note": "grün, \"quoted\"\n\U0001f438"})
save_file(conversions(), FOLDER / "conversions.safetensors")
