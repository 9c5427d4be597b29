"""The deterministic test data both languages compute bit for bit: float32 values from a name and an index.

The TypeScript twin is test/support/formula.ts; test/fixtures/formula/formula.json (written by this file) proves they agree.

    key   = mix(fnv1a32(utf8(name)))
    hash  = mix(key ^ (index * 0x9E3779B9 mod 2^32))           mix: the murmur3 32-bit finaliser
    s     = (hash >>> 8) / 2^23 - 1                            in [-1, 1), a multiple of 2^-23, exact in float32

    uniform      float32(s(index) * scale + offset)
    ones+        float32(1 + 0.1 * s(index))
    normal-like  float32((s(4i) + s(4i+1) + s(4i+2) + s(4i+3)) * (scale * sqrt(0.75)) + offset)    variance scale^2
    integer      floor((hash >>> 8) * scale / 2^24)            in [0, scale)

All arithmetic is float64 with one rounding to float32 at the end, so the result does not depend on the language.
"""

import json
import math
import struct
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
FIXTURES = REPOSITORY / "test" / "fixtures"


def mix(x: np.ndarray) -> np.ndarray:
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x85EBCA6B)
    x = x ^ (x >> np.uint32(13))
    x = x * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


def key_of(name: str) -> np.ndarray:
    h = 0x811C9DC5
    for byte in name.encode("utf-8"):
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    return mix(np.array([h], dtype=np.uint32))


def hash24(name: str, count: int, start: int = 0) -> np.ndarray:
    """The upper 24 bits of the hash of indices start .. start+count-1."""
    index = np.arange(start, start + count, dtype=np.uint64).astype(np.uint32)
    return mix((index * np.uint32(0x9E3779B9)) ^ key_of(name)) >> np.uint32(8)


def symmetric(name: str, count: int) -> np.ndarray:
    """float64 values in [-1, 1)."""
    return hash24(name, count).astype(np.float64) * 2.0**-23 - 1.0


def formula(name: str, shape, kind: str, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    """A float32 array (int32 for 'integer') of the given shape; the index runs over it in row-major order."""
    count = math.prod(shape)
    if kind == "uniform":
        values = symmetric(name, count) * scale + offset
    elif kind == "ones+":
        values = 1.0 + 0.1 * symmetric(name, count)
    elif kind == "normal-like":
        sums = symmetric(name, 4 * count).reshape(count, 4).sum(axis=1)  # exact: multiples of 2^-23 below 4
        values = sums * (scale * math.sqrt(0.75)) + offset
    elif kind == "integer":
        return (hash24(name, count).astype(np.float64) * scale * 2.0**-24).astype(np.int32).reshape(shape)
    else:
        raise ValueError(f"unknown kind {kind}")
    return values.astype(np.float32).reshape(shape)


def round_bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 -> bfloat16 (nearest even) -> float32, for finite values."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> np.uint64(16)) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return bits.astype(np.uint32).view(np.float32).reshape(x.shape)


def parameter_values(name: str, shape) -> np.ndarray:
    """Model weights by parameter name, in file layout ([o, i, kh, kw] for convolutions).

    biases 0.1 s; norm weights 1 + 0.1 s; embeddings 0.3 sqrt(3) s (rms 0.3); matrices and convolutions sqrt(3/fan_in) s.
    """
    if name.endswith(".bias"):
        return formula(name, shape, "uniform", 0.1)
    if len(shape) == 1:
        return formula(name, shape, "ones+")
    if "embedding.weight" in name:
        return formula(name, shape, "uniform", math.sqrt(3.0) * 0.3)
    return formula(name, shape, "uniform", math.sqrt(3.0 / math.prod(shape[1:])))


def float_bits(x: np.ndarray) -> list[str]:
    return [struct.pack(">f", v).hex() for v in np.asarray(x, dtype=np.float32).ravel()]


def write_json(path: Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.relative_to(REPOSITORY)}: {len(text.encode()) / 1024:.0f} KB")


def main() -> None:
    names = ["", "x", "linear/oneRow/x", "unet.conv_in.weight", "naïve ☕ 🙂"]
    kinds = [("uniform", 1.0, 0.0), ("uniform", 0.3, 2.5), ("ones+", 1.0, 0.0), ("normal-like", 1.0, 0.0), ("normal-like", 0.02, -7.0)]
    cases = []
    for name in names:
        hashes = {str(i): int(hash24(name, 1, i)[0]) for i in (0, 1, 2, 77, 65535, 2**31 + 5, 2**32 - 1)}
        values = [
            {"kind": kind, "scale": scale, "offset": offset, "bits": float_bits(formula(name, [8], kind, scale, offset))}
            for kind, scale, offset in kinds
        ]
        integers = formula(name, [8], "integer", 49408).tolist()
        bfloat16 = float_bits(round_bfloat16(formula(name, [8], "normal-like")))
        cases.append({"name": name, "hash24": hashes, "values": values, "integers": integers, "bfloat16": bfloat16})
    parameters = [
        {"name": name, "shape": shape, "bits": float_bits(parameter_values(name, shape).ravel()[:6])}
        for name, shape in [
            ("unet.conv_in.weight", [32, 4, 3, 3]),
            ("unet.conv_in.bias", [32]),
            ("unet.conv_norm_out.weight", [32]),
            ("text_encoder.text_model.embeddings.token_embedding.weight", [10, 32]),
            ("unet.time_embedding.linear_1.weight", [128, 32]),
        ]
    ]
    write_json(FIXTURES / "formula" / "formula.json", {"script": "scripts/reference/formula.py", "cases": cases, "parameters": parameters})


if __name__ == "__main__":
    main()
