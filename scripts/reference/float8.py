"""Writes test/fixtures/float8/: what torch's cast makes of float32 numbers in float8_e4m3fn, and of all its codes in float32.

Needs: safetensors, torch (CPU). Run from the repository root: python scripts/reference/float8.py
"""

from pathlib import Path

import torch
from safetensors.torch import save_file

FOLDER = Path("test/fixtures/float8")


def sweep() -> torch.Tensor:
    """Every number of the format, every tie between two, their neighbours in float32, and numbers of all sizes."""
    codes = torch.arange(0, 127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    ties = torch.cat([(codes[1:] + codes[:-1]) / 2, torch.tensor([464.0, 480.0])])
    exact = torch.cat([codes, ties])
    infinity = torch.full_like(exact, float("inf"))
    near = torch.cat([exact, torch.nextafter(exact, infinity), torch.nextafter(exact, -infinity)])
    generator = torch.Generator().manual_seed(1)
    scales = 2.0 ** torch.randint(-14, 10, (4096,), generator=generator)
    spread = torch.randn(4096, generator=generator) * scales
    bits = torch.randint(0, 2**31 - 1, (2048,), generator=generator, dtype=torch.int32)
    edges = torch.tensor([448.0, 1e9, 3.4e38, float("inf"), float("nan"), 2.0**-149, 2.0**-126])
    values = torch.cat([near, spread, bits.view(torch.float32), edges])
    return torch.cat([values, -values]).contiguous()


values = sweep()
codes = torch.arange(256, dtype=torch.int32).to(torch.uint8).view(torch.float8_e4m3fn)
FOLDER.mkdir(parents=True, exist_ok=True)
save_file(
    {"values": values, "rounded": values.to(torch.float8_e4m3fn), "codes": codes, "wide": codes.float()},
    FOLDER / "float8.safetensors",
)
