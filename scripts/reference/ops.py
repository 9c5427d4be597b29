"""Writes test/fixtures/ops/<op>.json: float64 references of every op's output and gradients.

Inputs are formula tensors named '<op>/<case>/<input>', the output gradient is '<op>/<case>/dy'. Each case is computed in
float64 twice: from the float32 inputs ('float32') and from all float inputs and dy rounded to bfloat16 ('bfloat16'; integer
inputs and the arguments listed in 'keepFloat32' stay as they are). Layout: channels last, convolution weights [o, kh, kw, i].

    python ops.py [op ...]          without names: all
"""

import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from digest import digest
from formula import FIXTURES, formula, round_bfloat16, write_json

torch.set_num_threads(2)

INTEGER = "integer"


def normal(*shape, scale=1, offset=0):
    return spec(shape, "normal-like", scale, offset)


def uniform(*shape, scale=1.0, offset=0):
    return spec(shape, "uniform", scale, offset)


def weight(*shape):
    """A matrix or convolution weight that keeps the variance; fan-in = product of all dims but the first."""
    return uniform(*shape, scale=round(math.sqrt(3 / math.prod(shape[1:])), 6))


def ones(*shape):
    return spec(shape, "ones+")


def bias(*shape):
    return uniform(*shape, scale=0.1)


def integers(*shape, below):
    return spec(shape, INTEGER, below)


def spec(shape, kind, scale=1, offset=0):
    out = {"shape": list(shape), "kind": kind}
    if scale != 1:
        out["scale"] = scale
    if offset != 0:
        out["offset"] = offset
    return out


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


ACTIVATIONS = {"silu": F.silu, "gelu": F.gelu, "quickGelu": lambda x: x * torch.sigmoid(1.702 * x)}


def linear(x, weight, bias=None, residual=None, loraDown=None, loraUp=None, *, activation=None, loraScale=1.0):
    y = F.linear(x, weight, bias)
    if loraDown is not None:
        y = y + loraScale * F.linear(F.linear(x, loraDown), loraUp)
    if activation:
        y = ACTIVATIONS[activation](y)
    return y if residual is None else y + residual


def conv2d(x, weight, bias=None, timeEmbedding=None, residual=None, *, stride=1, padding=0, upsample=False):
    x = nchw(x)
    if upsample:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    top, bottom, left, right = [padding] * 4 if isinstance(padding, int) else padding
    y = nhwc(F.conv2d(F.pad(x, (left, right, top, bottom)), weight.permute(0, 3, 1, 2), bias, stride=stride))
    if timeEmbedding is not None:
        y = y + timeEmbedding[:, None, None, :]
    return y if residual is None else y + residual


def attention(q, k, v, *, heads, causal=False, scale=None):
    n, t, width = q.shape
    s, d = k.shape[1], width // heads
    scale = d**-0.5 if scale is None else scale
    mask = torch.ones(t, s, dtype=torch.bool).triu(1) if causal else None
    outputs = []
    for b in range(n):
        for h in range(heads):
            part = slice(h * d, (h + 1) * d)
            scores = q[b, :, part] @ k[b, :, part].T * scale
            if mask is not None:
                scores = scores.masked_fill(mask, -math.inf)
            outputs.append(torch.softmax(scores, dim=-1) @ v[b, :, part])
    return torch.stack(outputs).reshape(n, heads, t, d).permute(0, 2, 1, 3).reshape(n, t, width)


def group_norm(x, weight, bias, *, groups, eps=1e-5):
    y = F.group_norm(x.movedim(-1, 1), groups, weight, bias, eps)
    return y.movedim(1, -1)


def geglu(x):
    value, gate = x.chunk(2, dim=-1)
    return value * F.gelu(gate)


def timestep_embedding(timesteps, *, dim):
    half = dim // 2
    angles = timesteps[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def at(alphasCumprod, timesteps, x):
    return alphasCumprod[timesteps.long()].reshape([-1] + [1] * (x.ndim - 1))


def add_noise(latents, noise, timesteps, alphasCumprod):
    a = at(alphasCumprod, timesteps, latents)
    return a.sqrt() * latents + (1 - a).sqrt() * noise


def velocity(latents, noise, timesteps, alphasCumprod):
    a = at(alphasCumprod, timesteps, latents)
    return a.sqrt() * noise - (1 - a).sqrt() * latents


def mse_loss(prediction, target, weights=None):
    per_sample = (prediction - target).square().reshape(len(prediction), -1).mean(dim=1)
    return (per_sample if weights is None else per_sample * weights).mean()


def element_loss(prediction, target, weights=None, thresholds=None, mask=None, *, type):
    d = prediction - target
    c = None if thresholds is None else thresholds.reshape(-1, *[1] * (d.dim() - 1))
    losses = {
        "l2": lambda: F.mse_loss(prediction, target, reduction="none"),
        "l1": lambda: F.l1_loss(prediction, target, reduction="none"),
        "huber": lambda: 2 * c * ((d**2 + c**2).sqrt() - c),
        "smooth_l1": lambda: 2 * ((d**2 + c**2).sqrt() - c),
    }
    loss = losses[type]()
    if mask is not None:
        loss = loss * mask.unsqueeze(-1)
    per_sample = loss.reshape(len(loss), -1).mean(dim=1)
    return (per_sample if weights is None else per_sample * weights).mean()


def elementwise(function):
    """The shapes every one-input op is tried on: a real activation, tails, one element."""
    return lambda x: function(x), [
        ("level0", {"x": normal(1, 64, 64, 320)}, {}),
        ("oddTail", {"x": normal(3, 7, 5, 3, scale=3)}, {}),
        ("wide", {"x": normal(1, 4095, scale=8)}, {}),
        ("one", {"x": normal(1, 1)}, {}),
    ]


def binary(function):
    return lambda a, b: function(a, b), [
        ("sameShape", {"a": normal(1, 32, 32, 640), "b": normal(1, 32, 32, 640)}, {}),
        ("channel", {"a": normal(2, 9, 7, 20), "b": normal(20)}, {}),
        ("perImage", {"a": normal(3, 8, 5, 36), "b": normal(3, 1, 1, 36)}, {}),
        ("scalarAxis", {"a": normal(3, 63), "b": normal(3, 1)}, {}),
    ]


def norm_inputs(shape, **kwargs):
    return {"x": normal(*shape, **kwargs), "weight": ones(shape[-1]), "bias": bias(shape[-1])}


def group_norm_cases():
    return [
        ("level0", norm_inputs((1, 64, 64, 320)), {"groups": 32}),
        ("level1", norm_inputs((1, 32, 32, 640)), {"groups": 32}),
        ("level3", norm_inputs((1, 8, 8, 1280)), {"groups": 32}),
        ("concat960", norm_inputs((1, 32, 32, 960)), {"groups": 32}),
        ("transformerEps", norm_inputs((2, 16, 16, 320)), {"groups": 32, "eps": 1e-6}),
        ("offsetMean", norm_inputs((1, 16, 16, 64), scale=0.5, offset=3), {"groups": 8}, {"toleranceFactor": 8}),
        ("oddPixels", norm_inputs((3, 7, 5, 36)), {"groups": 6}),
        ("tokens", norm_inputs((2, 63, 32)), {"groups": 32}),
        ("oneGroup", norm_inputs((1, 3, 3, 20)), {"groups": 1}),
    ]


def linear_inputs(rows, inner, outer, *, batch=1, rank=0, with_bias=True, residual=False):
    out = {"x": normal(batch, rows, inner), "weight": weight(outer, inner)}
    if with_bias:
        out["bias"] = bias(outer)
    if residual:
        out["residual"] = normal(batch, rows, outer)
    if rank:
        out["loraDown"] = weight(rank, inner)
        out["loraUp"] = uniform(outer, rank, scale=0.1)
    return out


LINEAR = [
    ("level0", linear_inputs(4096, 320, 320, with_bias=False), {}),
    ("level0OutResidual", linear_inputs(1024, 320, 320, residual=True), {}),
    ("context", linear_inputs(77, 768, 320, with_bias=False), {}),
    ("geglu1", linear_inputs(1024, 640, 5120), {}),
    ("feedForwardOut1", linear_inputs(256, 5120, 1280, residual=True), {}),
    ("timeEmbeddingSilu", linear_inputs(1, 320, 1280), {"activation": "silu"}),
    ("clipFc1QuickGelu", linear_inputs(77, 768, 3072), {"activation": "quickGelu"}),
    ("openClipFc1Gelu", linear_inputs(77, 256, 1024), {"activation": "gelu"}),
    ("lora16", linear_inputs(1024, 640, 640, rank=16), {"loraScale": 0.5}),
    ("lora4Context", linear_inputs(77, 768, 320, rank=4, with_bias=False, batch=3), {"loraScale": 1.25}),
    ("loraActivationResidual", linear_inputs(63, 40, 52, rank=3, residual=True, batch=3), {"activation": "gelu", "loraScale": 2}),
    ("tails", linear_inputs(63, 37, 29, batch=3), {}),
    ("oneRow", linear_inputs(1, 7, 3), {}),
]


def conv_inputs(n, h, w, ci, co, *, kernel=3, with_bias=True, time=False, residual=None):
    out = {"x": normal(n, h, w, ci), "weight": weight(co, kernel, kernel, ci)}
    if with_bias:
        out["bias"] = bias(co)
    if time:
        out["timeEmbedding"] = normal(n, co)
    if residual:
        out["residual"] = normal(n, *residual, co)
    return out


CONV2D = [
    ("level0", conv_inputs(1, 64, 64, 320, 320, time=True), {"padding": 1}),
    ("level1Residual", conv_inputs(1, 32, 32, 640, 640, residual=(32, 32)), {"padding": 1}),
    ("level2", conv_inputs(1, 16, 16, 1280, 1280, time=True), {"padding": 1}),
    ("level3", conv_inputs(1, 8, 8, 1280, 1280), {"padding": 1}),
    ("concat960", conv_inputs(1, 64, 64, 960, 320), {"padding": 1}),
    ("shortcut1x1", conv_inputs(1, 32, 32, 320, 640, kernel=1), {}),
    ("projOut1x1Residual", conv_inputs(2, 16, 12, 320, 320, kernel=1, residual=(16, 12)), {}),
    ("down", conv_inputs(1, 32, 32, 320, 320), {"padding": 1, "stride": 2}),
    ("downAsymmetric", conv_inputs(1, 32, 24, 128, 128), {"padding": [0, 1, 0, 1], "stride": 2}),
    ("up", conv_inputs(1, 16, 16, 640, 640), {"padding": 1, "upsample": True}),
    ("convIn", conv_inputs(1, 64, 64, 4, 320), {"padding": 1}),
    ("convOut", conv_inputs(1, 64, 64, 320, 4), {"padding": 1}),
    ("vaeConvIn", conv_inputs(1, 64, 48, 3, 128), {"padding": 1}),
    ("oddSizes", conv_inputs(3, 7, 5, 20, 12, time=True, residual=(7, 5)), {"padding": 1}),
    ("oddStride", conv_inputs(3, 9, 7, 6, 10), {"padding": 1, "stride": 2}),
    ("oddAsymmetricUp", conv_inputs(2, 5, 3, 17, 9, with_bias=False), {"padding": [1, 0, 2, 1], "upsample": True}),
    ("onePixel", conv_inputs(1, 1, 1, 8, 8), {"padding": 1}),
    ("noPadding", conv_inputs(1, 6, 11, 16, 16, with_bias=False), {}),
    ("loraDown3x3", conv_inputs(1, 32, 32, 320, 16, with_bias=False), {"padding": 1}),
]


def qkv(n, t, s, width, scale=1):
    return {"q": normal(n, t, width, scale=scale), "k": normal(n, s, width, scale=scale), "v": normal(n, s, width)}


ATTENTION = [
    ("level0Self", qkv(1, 4096, 4096, 320), {"heads": 8}, {"backward": False}),
    ("level0SelfSmall", qkv(1, 1024, 1024, 320), {"heads": 8}),
    ("level0Cross", qkv(1, 4096, 77, 320), {"heads": 8}),
    ("level1Self", qkv(1, 1024, 1024, 640), {"heads": 8}),
    ("level2Self", qkv(1, 256, 256, 1280), {"heads": 8}),
    ("level3Self", qkv(1, 64, 64, 1280), {"heads": 8}),
    ("clipCausal", qkv(1, 77, 77, 768), {"heads": 12, "causal": True}),
    ("sd2HeadSize64", qkv(1, 576, 576, 320), {"heads": 5}),
    ("vaeHeadSize512", qkv(1, 256, 256, 512), {"heads": 1}),
    ("sharpScores", qkv(1, 128, 96, 64, scale=4), {"heads": 2}, {"toleranceFactor": 4}),
    ("headSize8Batch3", qkv(3, 63, 63, 32), {"heads": 4}),
    ("oddCausalBatch3", qkv(3, 33, 33, 36), {"heads": 3, "causal": True}),
    ("oneQuery", qkv(2, 1, 77, 40), {"heads": 1}),
    ("givenScale", qkv(1, 20, 15, 48), {"heads": 2, "scale": 0.5}),
]

SCHEDULE = {"timesteps": integers(3, below=1000), "alphasCumprod": uniform(1000, scale=0.49, offset=0.5)}


def loss_inputs(n, h, w, c, weights=False):
    out = {"prediction": normal(n, h, w, c), "target": normal(n, h, w, c)}
    if weights:
        out["weights"] = uniform(n, scale=0.5, offset=0.6)
    return out


LOSS_TYPES = ["l2", "l1", "huber", "smooth_l1"]


def element_loss_inputs(n, h, w, c, kind, *, weights=False, mask=False):
    out = loss_inputs(n, h, w, c, weights)
    if kind in ("huber", "smooth_l1"):
        out["thresholds"] = uniform(n, scale=0.4, offset=0.5)
    if mask:
        out["mask"] = uniform(n, h, w, scale=0.5, offset=0.5)
    return out


def reduce_cases():
    x = normal(3, 9, 7, 20, offset=0.25)
    return [
        ("all", {"x": x}, {}),
        ("lastAxis", {"x": x}, {"axes": [3]}),
        ("pixels", {"x": x}, {"axes": [1, 2]}),
        ("batch", {"x": normal(3, 4097)}, {"axes": [0]}),
        ("large", {"x": normal(1, 64, 64, 320, offset=0.25)}, {}),
    ]


OPS = {
    "add": binary(torch.add),
    "sub": binary(torch.sub),
    "mul": binary(torch.mul),
    "div": (lambda a, b: a / b, [
        ("sameShape", {"a": normal(1, 32, 32, 640), "b": uniform(1, 32, 32, 640, offset=3)}, {}),
        ("channel", {"a": normal(2, 9, 7, 20), "b": uniform(20, offset=3)}, {}),
        ("perImage", {"a": normal(3, 8, 5, 36), "b": uniform(3, 1, 1, 36, offset=-3)}, {}),
        ("scalarAxis", {"a": normal(3, 63), "b": uniform(3, 1, offset=3)}, {}),
    ]),
    "scale": (lambda x, *, factor: x * factor, [
        ("level0", {"x": normal(1, 64, 64, 320)}, {"factor": 0.18215}),
        ("oddTail", {"x": normal(3, 7, 5, 3)}, {"factor": -2.5}),
    ]),
    "silu": elementwise(F.silu),
    "gelu": elementwise(F.gelu),
    "quickGelu": elementwise(ACTIVATIONS["quickGelu"]),
    "softmax": (lambda x: torch.softmax(x, dim=-1), [
        ("keys77", {"x": normal(8, 256, 77, scale=2)}, {}),
        ("keys1024", {"x": normal(2, 64, 1024)}, {}),
        ("large", {"x": normal(3, 5, 63, scale=40)}, {}),
        ("one", {"x": normal(4, 1)}, {}),
    ]),
    "matmul": (lambda a, b, *, transposeA=False, transposeB=False: (a.mT if transposeA else a) @ (b.mT if transposeB else b), [
        ("scores", {"a": normal(8, 256, 40), "b": normal(8, 77, 40)}, {"transposeB": True}),
        ("plain", {"a": normal(63, 77), "b": normal(77, 37)}, {}),
        ("transposeA", {"a": normal(3, 50, 21), "b": normal(3, 50, 33)}, {"transposeA": True}),
        ("transposeBoth", {"a": normal(2, 3, 40, 17), "b": normal(2, 3, 9, 40)}, {"transposeA": True, "transposeB": True}),
        ("square", {"a": normal(512, 640), "b": normal(640, 320)}, {}),
        ("oneByOne", {"a": normal(1, 1), "b": normal(1, 1)}, {}),
    ]),
    "linear": (linear, LINEAR),
    "conv2d": (conv2d, CONV2D),
    "attention": (attention, ATTENTION),
    "groupNorm": (group_norm, group_norm_cases()),
    "groupNormSilu": (lambda *args, **options: F.silu(group_norm(*args, **options)), group_norm_cases()),
    "layerNorm": (lambda x, weight, bias, *, eps=1e-5: F.layer_norm(x, x.shape[-1:], weight, bias, eps), [
        ("level0", norm_inputs((1, 4096, 320)), {}),
        ("level2", norm_inputs((1, 256, 1280)), {}),
        ("clip", norm_inputs((3, 77, 768)), {}),
        ("offsetMean", norm_inputs((2, 63, 40), scale=0.5, offset=3), {}, {"toleranceFactor": 8}),
        ("odd", norm_inputs((3, 5, 37)), {"eps": 1e-6}),
        ("oneRow", norm_inputs((1, 7)), {}),
    ]),
    "geglu": (geglu, [
        ("level0", {"x": normal(1, 1024, 2560)}, {}),
        ("level2", {"x": normal(1, 64, 10240)}, {}),
        ("odd", {"x": normal(3, 63, 34)}, {}),
        ("one", {"x": normal(1, 2)}, {}),
    ]),
    "embedding": (lambda ids, table: F.embedding(ids.long(), table), [
        ("clip", {"ids": integers(1, 77, below=500), "table": normal(500, 768)}, {}),
        ("repeated", {"ids": integers(3, 40, below=5), "table": normal(7, 36)}, {}),
        ("flat", {"ids": integers(9, below=3), "table": normal(3, 5)}, {}),
    ]),
    "timestepEmbedding": (timestep_embedding, [
        ("sd1", {"timesteps": integers(4, below=1000)}, {"dim": 320}, {"bfloat16": False, "backward": False}),
        ("fractional", {"timesteps": uniform(3, scale=499.5, offset=499.5)}, {"dim": 32}, {"bfloat16": False, "backward": False}),
    ]),
    "addNoise": (add_noise, [
        ("sd1", {"latents": normal(3, 64, 64, 4), "noise": normal(3, 64, 64, 4), **SCHEDULE}, {}, {"backward": False}),
        ("odd", {"latents": normal(3, 7, 5, 3), "noise": normal(3, 7, 5, 3), **SCHEDULE}, {}, {"backward": False}),
    ]),
    "velocity": (velocity, [
        ("sd2", {"latents": normal(3, 96, 64, 4), "noise": normal(3, 96, 64, 4), **SCHEDULE}, {}, {"backward": False}),
        ("odd", {"latents": normal(3, 7, 5, 3), "noise": normal(3, 7, 5, 3), **SCHEDULE}, {}, {"backward": False}),
    ]),
    "mseLoss": (mse_loss, [
        ("plain", loss_inputs(1, 64, 64, 4), {}),
        ("weighted", loss_inputs(3, 32, 24, 4, weights=True), {}),
        ("odd", loss_inputs(3, 7, 5, 3), {}),
    ]),
    "elementLoss": (element_loss, [
        *[(f"{kind}Masked", element_loss_inputs(2, 9, 11, 4, kind, mask=True), {"type": kind}) for kind in LOSS_TYPES],
        *[(f"{kind}Weighted", element_loss_inputs(3, 32, 24, 4, kind, weights=True, mask=True), {"type": kind}) for kind in LOSS_TYPES],
        *[(f"{kind}Odd", element_loss_inputs(3, 7, 5, 3, kind), {"type": kind}) for kind in LOSS_TYPES],
    ]),
    "sum": (lambda x, *, axes=None: x.sum() if axes is None else x.sum(dim=axes), reduce_cases()),
    "mean": (lambda x, *, axes=None: x.mean() if axes is None else x.mean(dim=axes), reduce_cases()),
    "concatChannels": (lambda a, b: torch.cat([a, b], dim=-1), [
        ("skip", {"a": normal(1, 16, 16, 1280), "b": normal(1, 16, 16, 640)}, {}),
        ("odd", {"a": normal(3, 5, 7, 3), "b": normal(3, 5, 7, 6)}, {}),
    ]),
    "sliceChannels": (lambda x, *, start, end: x[..., start:end], [
        ("half", {"x": normal(1, 256, 1280)}, {"start": 640, "end": 1280}),
        ("odd", {"x": normal(3, 5, 7)}, {"start": 2, "end": 5}),
    ]),
    "slice": (lambda x, *, axis, start, end: x.narrow(axis, start, end - start), [
        ("rows", {"x": normal(3, 77, 40)}, {"axis": 1, "start": 1, "end": 76}),
        ("batch", {"x": normal(4, 5, 7)}, {"axis": 0, "start": 2, "end": 3}),
    ]),
    "permute": (lambda x, *, axes: x.permute(axes), [
        ("toChannelsFirst", {"x": normal(2, 7, 5, 6)}, {"axes": [0, 3, 1, 2]}),
        ("heads", {"x": normal(2, 63, 4, 8)}, {"axes": [0, 2, 1, 3]}),
    ]),
}

# Inputs that take no gradient although they are float tensors.
CONSTANT = {"timesteps", "alphasCumprod", "noise", "latents", "target", "weights", "thresholds", "mask"}
# Inputs that are not rounded to bfloat16: statistics and schedules are float32 whatever the activations are.
KEEP_FLOAT32 = {"alphasCumprod", "timesteps", "weights", "thresholds", "mask"}


def reference(op, name, function, inputs, options, variant, backward):
    def tensor(input_name, input_spec):
        values = formula(f"{op}/{name}/{input_name}", **input_spec)
        if input_spec["kind"] != INTEGER:
            if variant == "bfloat16" and input_name not in KEEP_FLOAT32:
                values = round_bfloat16(values)
            values = values.astype(np.float64)
        return torch.from_numpy(values)

    tensors = {key: tensor(key, value) for key, value in inputs.items()}
    wanted = [k for k, v in inputs.items() if backward and v["kind"] != INTEGER and k not in CONSTANT]
    for key in wanted:
        tensors[key].requires_grad_(True)
    with torch.set_grad_enabled(backward):
        y = function(**tensors, **options)
    out = {"output": digest(f"{op}/{name}/y", y.contiguous())}
    dy_spec = None
    if backward:
        dy_spec = spec(y.shape, "normal-like") if y.ndim else spec([], "ones+")
        gradients = torch.autograd.grad(y, [tensors[k] for k in wanted], tensor("dy", dy_spec))
        out["gradients"] = {}
        for key, gradient in zip(wanted, gradients):
            yardstick = 1.0 if gradient.abs().max() == 0 else None
            out["gradients"][key] = digest(f"{op}/{name}/d{key}", gradient.contiguous(), scale=yardstick)
    return out, dy_spec


def make(op):
    function, cases = OPS[op]
    written = []
    for name, inputs, options, *rest in cases:
        flags = {"backward": True, "bfloat16": True, **(rest[0] if rest else {})}
        start = time.time()
        # toleranceFactor: how much worse conditioned the case is than unit inputs (mean far from 0, one-hot softmax).
        # The inputs' order in the fixture is the op's argument order.
        case = {"name": name, "inputs": inputs, "options": options}
        case["float32"], dy_spec = reference(op, name, function, inputs, options, "float32", flags["backward"])
        if dy_spec:
            case["dy"] = dy_spec
        if flags["bfloat16"]:
            case["bfloat16"], _ = reference(op, name, function, inputs, options, "bfloat16", flags["backward"])
            kept = sorted(KEEP_FLOAT32 & {k for k, v in inputs.items() if v["kind"] != INTEGER})
            if kept:
                case["keepFloat32"] = kept
        if "toleranceFactor" in flags:
            case["toleranceFactor"] = flags["toleranceFactor"]
        written.append(case)
        if time.time() - start > 2:
            print(f"  {op}/{name} {time.time() - start:.1f} s")
    write_json(FIXTURES / "ops" / f"{op}.json", {"script": "scripts/reference/ops.py", "op": op, "cases": written})


def main() -> None:
    for op in sys.argv[1:] or OPS:
        make(op)


if __name__ == "__main__":
    main()
