"""Writes test/fixtures/optim/{gradientNorm,adamW,quantizeBlockwise,adamW8bit}.json.

gradientNorm and adamW are float64 references. The 8-bit fixtures come from a float32 simulation of block-wise dynamic
quantisation with correct rounding: values are exact up to the last place, codes may differ by one between implementations.
"""

import base64
import hashlib
import math

import numpy as np

from digest import digest, rounded, significant
from formula import FIXTURES, formula, round_bfloat16, write_json

SCRIPT = "scripts/reference/optim.py"
f32 = np.float32


# ---- gradient norm and clipping ---------------------------------------------------------------------------------------


def gradient_norm() -> None:
    cases = []
    for name, shapes, scale, max_norm in [
        ("clips", [[320, 320], [320], [4, 1280], [3, 3]], 0.5, 1.0),
        ("keeps", [[63, 7], [5]], 0.001, 1.0),
        ("large", [[1280, 640], [4097]], 2.0, 0.5),
    ]:
        gradients = {f"g{i}": {"shape": s, "kind": "normal-like", "scale": scale} for i, s in enumerate(shapes)}
        case = {"name": name, "inputs": gradients, "options": {"maxNorm": max_norm}}
        for variant in ("float32", "bfloat16"):
            squares = 0.0
            for key, value in gradients.items():
                g = formula(f"gradientNorm/{name}/{key}", **value)
                g = round_bfloat16(g) if variant == "bfloat16" else g
                squares += float((g.astype(np.float64) ** 2).sum())
            norm = math.sqrt(squares)
            case[variant] = {"norm": significant(norm), "clipCoefficient": significant(min(1.0, max_norm / (norm + 1e-6)))}
        cases.append(case)
    write_json(FIXTURES / "optim" / "gradientNorm.json", {"script": SCRIPT, "op": "gradientNorm", "cases": cases})


# ---- AdamW (torch order), float64 -------------------------------------------------------------------------------------


def adamw_step(p, m, v, g, t, *, learningRate, beta1, beta2, eps, weightDecay):
    p = p * (1 - learningRate * weightDecay)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    p = p - learningRate / (1 - beta1**t) * m / (np.sqrt(v) / math.sqrt(1 - beta2**t) + eps)
    return p, m, v


def adamw() -> None:
    default = {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weightDecay": 0.01}
    cases = []
    for name, shape, scale, change in [
        ("defaults", [64, 77], 0.02, {}),
        ("noDecayHighRate", [1003], 1.0, {"learningRate": 0.05, "weightDecay": 0, "beta2": 0.99}),
        ("largeEps", [3, 5, 7], 1e-4, {"eps": 1e-3, "weightDecay": 0.1, "learningRate": 0.01}),
    ]:
        options = {**default, **change}
        inputs = {"p": {"shape": shape, "kind": "normal-like"}}
        inputs |= {f"g{t}": {"shape": shape, "kind": "normal-like", "scale": scale} for t in (1, 2, 3)}
        p = formula(f"adamW/{name}/p", **inputs["p"]).astype(np.float64)
        m, v, steps = np.zeros(shape), np.zeros(shape), []
        for t in (1, 2, 3):
            p, m, v = adamw_step(p, m, v, formula(f"adamW/{name}/g{t}", **inputs[f"g{t}"]).astype(np.float64), t, **options)
            id = f"adamW/{name}/step{t}"
            steps.append({"p": digest(f"{id}/p", p), "m": digest(f"{id}/m", m), "v": digest(f"{id}/v", v)})
        cases.append({"name": name, "inputs": inputs, "options": options, "steps": steps})
    write_json(FIXTURES / "optim" / "adamW.json", {"script": SCRIPT, "op": "adamW", "cases": cases})


# ---- block-wise dynamic quantisation ----------------------------------------------------------------------------------


def fma(a, b, c):
    """float32 a * b + c with one rounding: the product of two float32 is exact in float64; the sum is then rounded to
    odd at 53 bits, so that the second rounding to float32 is correct."""
    product = float(a) * float(b)
    total = product + float(c)
    virtual = total - product
    error = (product - (total - virtual)) + (float(c) - virtual)
    if error != 0.0 and (np.float64(total).view(np.int64) & 1) == 0:
        total = float(np.nextafter(total, math.inf if error > 0 else -math.inf))
    return f32(total)


def code_map(signed: bool) -> np.ndarray:
    entries = []
    for i in range(7):
        bins = 2**i if signed else 2 ** (i + 1)
        step = (f32(1.0) - f32(0.1)) / f32(bins)
        edges = [fma(step, f32(t), f32(0.1)) if t < (bins + 1) // 2 else fma(-step, f32(bins - t), f32(1.0)) for t in range(bins + 1)]
        for a, b in zip(edges, edges[1:]):
            value = f32(10.0 ** (i - 6)) * ((a + b) / f32(2))
            entries += [value, -value] if signed else [value]
    return np.sort(np.array(entries + [f32(0.0), f32(1.0)], dtype=f32))


MAPS = {True: code_map(True), False: code_map(False)}
assert hashlib.sha1(MAPS[True].astype("<f4").tobytes()).hexdigest() == "cb07ba0d1557267d68103e0f7bc95af7a44d75f8"
assert hashlib.sha1(MAPS[False].astype("<f4").tobytes()).hexdigest() == "455646eccb91aa9c9e76eec41f55b43022a651ce"


def midpoints(map: np.ndarray) -> np.ndarray:
    return (map[:-1] + map[1:]) * f32(0.5)


def nearest_codes(x: np.ndarray, signed: bool) -> np.ndarray:
    """Nearest entry by float32 midpoints; an exact midpoint goes to the even code."""
    mid = midpoints(MAPS[signed])
    below = np.searchsorted(mid, x, side="left")  # midpoints strictly below x
    tie = (below < 255) & (mid[np.minimum(below, 254)] == x)
    return np.where(tie & (below % 2 == 1), below + 1, below).astype(np.uint8)


def quantize(values: np.ndarray, signed: bool, block: int = 256):
    """Codes and absmax of float32 values; the sign is repaired for the signed map. Zero blocks get the code of 0."""
    flat = values.astype(f32).ravel()
    codes, absmax = np.empty(flat.size, np.uint8), []
    for start in range(0, flat.size, block):
        part = flat[start : start + block]
        top = np.abs(part).max()
        absmax.append(top)
        if top == 0:
            codes[start : start + block] = 127 if signed else 0
            continue
        c = nearest_codes(part / top, signed)
        if signed:
            wrong = np.signbit(MAPS[True][c]) != np.signbit(part)
            c = np.where(wrong, np.where(part > 0, c + 1, c - 1), c).astype(np.uint8)
        codes[start : start + block] = c
    return codes, np.array(absmax, dtype=f32)


def dequantize(codes, absmax, signed, block: int = 256):
    return MAPS[signed][codes] * np.repeat(absmax, block)[: codes.size]


def packed(codes: np.ndarray) -> str:
    return base64.b64encode(codes.tobytes()).decode()


def quantize_blockwise() -> None:
    x = np.array([1e-7, 2.7e-7, 3e-7, 1e-6, 1e-4, 0.01, 0.1, 0.5, 0.99, 1], dtype=f32)
    spots = {
        "x": rounded(x),
        "signed": nearest_codes(x, True).tolist(),
        "signedOfMinusX": nearest_codes(-x, True).tolist(),
        "unsigned": nearest_codes(x, False).tolist(),
    }
    assert spots["signed"] == [127, 127, 128, 128, 134, 158, 190, 219, 254, 255]
    assert spots["signedOfMinusX"] == [127, 127, 126, 126, 120, 96, 64, 35, 0, 0]
    assert spots["unsigned"] == [0, 1, 1, 2, 14, 62, 126, 183, 253, 255]
    cases = []
    for name, shape, signed, scale in [
        ("signed", [4, 256], True, 0.01),
        ("unsigned", [3, 341], False, 1e-6),
        ("signedTail", [5, 103], True, 3.0),
        ("tiny", [7], True, 1.0),
    ]:
        spec = {"shape": shape, "kind": "normal-like", "scale": scale}
        values = formula(f"quantizeBlockwise/{name}/x", **spec)
        values = values if signed else values * values  # second moments are never negative
        codes, absmax = quantize(values, signed)
        cases.append({
            "name": name, "inputs": {"x": spec}, "squared": not signed, "options": {"signed": signed, "blockSize": 256},
            "codes": packed(codes), "absmax": rounded(absmax),
            "dequantized": digest(f"quantizeBlockwise/{name}/dequantized", dequantize(codes, absmax, signed)),
        })
    ties = {key: nearest_codes(midpoints(MAPS[key == "signed"]), key == "signed").tolist() for key in ("signed", "unsigned")}
    maps = {"signed": rounded(MAPS[True]), "unsigned": rounded(MAPS[False])}
    assert np.array_equal(np.array(maps["signed"], dtype=f32), MAPS[True])
    write_json(FIXTURES / "optim" / "quantizeBlockwise.json", {
        "script": SCRIPT, "op": "quantizeBlockwise", "maps": maps, "midpointCodes": ties, "spots": spots, "cases": cases,
    })


# ---- AdamW8bit --------------------------------------------------------------------------------------------------------


def adamw8bit_step(p, state, g, t, *, learningRate, beta1, beta2, eps, weightDecay, decayAfter, cast=lambda x: x):
    c1, a1, c2, a2 = state
    lr, b1, b2 = f32(learningRate), f32(beta1), f32(beta2)
    k1, k2 = f32(1 - beta1**t), f32(math.sqrt(1 - beta2**t))
    finite = np.isfinite(g)
    g = np.where(finite, g, f32(0)).astype(f32)
    m = dequantize(c1, a1, True) * b1 + (f32(1) - b1) * g
    v = dequantize(c2, a2, False) * b2 + (f32(1) - b2) * g * g
    m, v = np.where(finite, m, f32(0)), np.where(finite, v, f32(0))
    decay = f32(1) - lr * f32(weightDecay)
    before = p
    if weightDecay and not decayAfter:
        p = cast(p * decay)
    p = cast(p + (-lr * k2 / k1) * (m / (np.sqrt(v) + k2 * f32(eps))))
    if weightDecay and decayAfter:
        p = cast(p * decay)
    p = np.where(finite, p, before)
    return p, (*quantize(m, True), *quantize(v, False))


def fresh(n: int):
    blocks = -(-n // 256)
    return np.zeros(n, np.uint8), np.zeros(blocks, f32), np.zeros(n, np.uint8), np.zeros(blocks, f32)


def published_vector() -> dict:
    """Three steps on sines: the state can be checked from the formulas alone."""
    i = np.arange(4096, dtype=np.float64)
    p, state = np.sin(0.37 * i).astype(f32), fresh(4096)
    options = {"learningRate": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weightDecay": 0.01, "decayAfter": True}
    for t in (1, 2, 3):
        g = (np.cos(0.11 * i * t) * np.exp(-((7919 * i) % 97) / 20)).astype(f32)
        p, state = adamw8bit_step(p, state, g, t, **options)
    index = [0, 1, 2, 255, 256, 1000, 4095]
    c1, a1, c2, a2 = state
    assert np.abs(p[index] - [-0.0299939942, 0.331381351, 0.644243658, 0.115028068, 0.467712998, -0.637231588, 0.804455936]).max() < 1e-6
    assert np.abs(c1[index].astype(int) - [255, 171, 200, 109, 93, 60, 107]).max() <= 1
    assert np.abs(c2[index].astype(int) - [255, 34, 94, 10, 35, 140, 62]).max() <= 1
    assert abs(int(c1.sum(dtype=int)) - 488337) < 60 and abs(int(c2.sum(dtype=int)) - 257763) < 60
    print("published vector: sum p", p.sum(dtype=np.float64), "c1", c1.sum(dtype=int), "c2", c2.sum(dtype=int))
    return {
        "p0": "float32(sin(0.37 i))", "g": "float32(cos(0.11 i t) exp(-((7919 i) mod 97) / 20))", "count": 4096, "steps": 3,
        "options": options, "index": index, "p": rounded(p[index]), "c1": c1[index].tolist(), "c2": c2[index].tolist(),
        "absmax1": rounded(a1[:3]), "absmax2": rounded(a2[:3]),
        "sums": {"p": significant(p.sum(dtype=np.float64)), "c1": int(c1.sum(dtype=int)), "c2": int(c2.sum(dtype=int))},
    }


def adamw8bit() -> None:
    default = {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weightDecay": 0.01, "decayAfter": False}
    cases = []
    for name, shape, dtype, change in [
        ("torchOrder", [64, 80], "float32", {}),
        ("decayAfterTail", [5, 1001], "float32", {"decayAfter": True, "learningRate": 0.01}),
        ("bfloat16", [64, 64], "bfloat16", {"decayAfter": True, "learningRate": 0.01}),
    ]:
        options, n = {**default, **change}, math.prod(shape)
        inputs = {"p": {"shape": shape, "kind": "normal-like"}}
        inputs |= {f"g{t}": {"shape": shape, "kind": "normal-like", "scale": 0.02} for t in (1, 2, 3)}
        cast = round_bfloat16 if dtype == "bfloat16" else (lambda x: x)
        p, state, steps = cast(formula(f"adamW8bit/{name}/p", **inputs["p"]).ravel()), fresh(n), []
        for t in (1, 2, 3):
            g = cast(formula(f"adamW8bit/{name}/g{t}", **inputs[f"g{t}"]).ravel())
            p, state = adamw8bit_step(p, state, g, t, cast=cast, **options)
            c1, a1, c2, a2 = state
            step = {"p": digest(f"adamW8bit/{name}/step{t}/p", p.reshape(shape)), "absmax1": rounded(a1), "absmax2": rounded(a2)}
            if t != 2:
                step |= {"c1": packed(c1), "c2": packed(c2)}
            steps.append(step)
        cases.append({"name": name, "dtype": dtype, "inputs": inputs, "options": options, "steps": steps})
    write_json(FIXTURES / "optim" / "adamW8bit.json", {"script": SCRIPT, "op": "adamW8bit", "vector": published_vector(), "cases": cases})


if __name__ == "__main__":
    gradient_norm()
    adamw()
    quantize_blockwise()
    adamw8bit()
