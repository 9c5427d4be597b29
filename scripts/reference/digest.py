"""Digests: a float64 reference tensor reduced to a few numbers that still catch a wrong element, sign, scale or layout.

A digest holds the shape, the rms, four projections (dot products with the formula vectors '<id>/w0' .. '<id>/w3', kind
'uniform', divided by sqrt(n) * rms, so that they are of order 1) and up to 64 values at a fixed stride. Tensors of up to
256 elements are stored whole. The reader is test/support/digest.ts.
"""

import math

import numpy as np

from formula import symmetric

WHOLE = 256  # elements stored in full up to here
SAMPLES = 64
PROJECTIONS = 4


def significant(x: float, digits: int = 9) -> float:
    """Rounded to nine significant digits, to keep the files small; far below every tolerance."""
    value = float(f"{float(x):.{digits - 1}e}")
    return int(value) if value == int(value) and abs(value) < 1e15 else value


def rounded(values, digits: int = 9) -> list[float]:
    return [significant(v, digits) for v in np.asarray(values, dtype=np.float64).ravel()]


def stride_for(count: int, samples: int) -> int:
    """A stride without the factors 2, 3, 5 and 7, so that samples do not all fall on one channel."""
    stride = max(1, (count - 1) // max(1, samples - 1))
    while stride > 1 and any(stride % p == 0 for p in (2, 3, 5, 7)):
        stride -= 1
    return stride


def digest(id: str, x, *, scale: float | None = None, whole: int = WHOLE, samples: int = SAMPLES, projections: int = PROJECTIONS, digits: int = 9) -> dict:
    """`scale` replaces the rms as the yardstick of errors, for tensors that are zero in exact arithmetic."""
    x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    flat = x.astype(np.float64).ravel()
    if not np.isfinite(flat).all():
        raise ValueError(f"{id}: not finite")
    rms = math.sqrt(float(np.mean(flat * flat)))
    out: dict = {"id": id, "shape": list(x.shape), "rms": significant(rms, digits)}
    if scale is not None:
        out["scale"] = significant(scale, digits)
    if flat.size <= whole:
        out["values"] = rounded(flat, digits)
        return out
    unit = (scale if scale is not None else rms) * math.sqrt(flat.size)
    if unit == 0.0:
        raise ValueError(f"{id}: all zero; pass a scale")
    count = min(projections, 4 if flat.size <= 1 << 20 else 2)
    out["projections"] = [significant(float(flat @ symmetric(f"{id}/w{k}", flat.size)) / unit, digits) for k in range(count)]
    stride = stride_for(flat.size, samples)
    out["stride"] = stride
    out["samples"] = rounded(flat[::stride][:samples], digits)
    return out


def main() -> None:
    from formula import FIXTURES, formula, write_json

    tensors = [
        {"name": "digest/large", "spec": {"shape": [24, 10, 9], "kind": "normal-like"}},
        {"name": "digest/small", "spec": {"shape": [5, 7], "kind": "uniform", "scale": 3}},
    ]
    for tensor in tensors:
        tensor["digest"] = digest(tensor["name"], formula(tensor["name"], **tensor["spec"]))
    write_json(FIXTURES / "digest" / "digest.json", {"script": "scripts/reference/digest.py", "tensors": tensors})


if __name__ == "__main__":
    main()
