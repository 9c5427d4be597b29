"""Writes test/fixtures/optimizers/elementwise.json, 20 steps of each optimizer on three tensors with scripted gradients, and
bitsandbytes.json, state dicts of that package.

The references are the packages themselves (torch, lion-pytorch, bitsandbytes, schedulefree) in float64. 8-bit states come
from a float32 simulation of the formulas of bitsandbytes with correct rounding (see optim.py): its own CPU kernels round
states to a uniform grid first. The reader is test/support/optimizerSuite.ts; other families of optimizers write files of
their own with `write_family`.
"""

import base64
import math
import sys

import numpy as np
import torch

from digest import digest, rounded
from formula import FIXTURES, formula, write_json
from optim import dequantize, packed, quantize

SHAPES = {"matrix": [64, 72], "conv": [8, 6, 3, 3], "scalar": []}
STEPS = 20
CHECKS = (11, 20)
# Gradients are formula values times this; 1 where nothing is said.
SCALES = {4: 0.0, 8: 1e-12, 12: 1e4}
NAN_STEP, NAN_INDEX = 15, 3  # of the matrix, in cases that say so
f32 = np.float32


def start(tensor: str) -> np.ndarray:
    return formula(f"optimizers/{tensor}/p", shape=SHAPES[tensor], kind="normal-like")


def gradient(tensor: str, t: int, nan: bool = False) -> np.ndarray:
    g = formula(f"optimizers/{tensor}/g{t}", shape=SHAPES[tensor], kind="normal-like", scale=SCALES.get(t, 1.0))
    if nan and t == NAN_STEP and tensor == "matrix":
        g.reshape(-1)[NAN_INDEX] = np.nan
    return g


def digests(id: str, values: dict) -> dict:
    """Errors are measured by the larger of the tensor now and at the start: steps may lead past zero."""
    rms = lambda x: math.sqrt(float(np.mean(np.square(x, dtype=np.float64))))
    one = lambda tensor, x: digest(
        f"{id}/{tensor}", x, scale=max(rms(x), rms(start(tensor))), whole=16, samples=24, projections=2, digits=9
    )
    return {tensor: one(tensor, x) for tensor, x in values.items()}


def run(name: str, settings: dict, make, *, separate: bool = False, dtype=torch.float64) -> dict:
    """A case from a torch optimizer: make(parameters, settings). `separate`: one optimizer for each tensor."""
    parameters = {tensor: torch.nn.Parameter(torch.tensor(start(tensor), dtype=dtype)) for tensor in SHAPES}
    lists = [[p] for p in parameters.values()] if separate else [list(parameters.values())]
    optimizers = [make(params, settings) for params in lists]
    now = lambda: {tensor: p.detach().numpy().astype(np.float64) for tensor, p in parameters.items()}
    case = {"name": name, "settings": settings, "nan": False, "checks": {}}
    for optimizer in optimizers:
        getattr(optimizer, "train", lambda: None)()
    for t in range(1, STEPS + 1):
        for tensor, p in parameters.items():
            p.grad = torch.tensor(gradient(tensor, t), dtype=dtype)
        for optimizer in optimizers:
            optimizer.step()
        if t in CHECKS:
            case["checks"][str(t)] = digests(f"optimizers/{name}/{t}", now())
    if hasattr(optimizers[0], "eval"):
        for optimizer in optimizers:
            optimizer.eval()
        case["evaluation"] = digests(f"optimizers/{name}/evaluation", now())
    return case


# ---- 8-bit states ----------------------------------------------------------------------------------------------------


class Moment:
    """A state: codes from 4096 elements on, float32 below."""

    def __init__(self, count: int, signed: bool):
        self.signed, self.coded = signed, count >= 4096
        self.codes = np.zeros(count, np.uint8)
        self.absmax = np.zeros(-(-count // 256), f32)
        self.values = np.zeros(count, f32)

    def read(self) -> np.ndarray:
        return dequantize(self.codes, self.absmax, self.signed) if self.coded else self.values

    def write(self, values: np.ndarray) -> None:
        if self.coded:
            self.codes, self.absmax = quantize(values, self.signed)
        else:
            self.values = values.astype(f32)


def run8bit(name: str, settings: dict, signs: list, rule) -> dict:
    """rule(p, g, moments, t, settings) -> new p, new moments, in float32. Elements with a gradient that is not finite keep
    their parameter and lose their moments."""
    parameters = {tensor: start(tensor).reshape(-1) for tensor in SHAPES}
    moments = {tensor: [Moment(p.size, s) for s in signs] for tensor, p in parameters.items()}
    case = {"name": name, "settings": settings, "nan": True, "checks": {}}
    for t in range(1, STEPS + 1):
        for tensor, p in parameters.items():
            g = gradient(tensor, t, nan=True).reshape(-1)
            finite = np.isfinite(g)
            g = np.where(finite, g, f32(0))
            p_new, new = rule(p, g, [m.read() for m in moments[tensor]], t, settings)
            parameters[tensor] = np.where(finite, p_new, p).astype(f32)
            for moment, values in zip(moments[tensor], new):
                moment.write(np.where(finite, values, f32(0)).astype(f32))
        if t in CHECKS:
            values = {tensor: p.reshape(SHAPES[tensor]) for tensor, p in parameters.items()}
            case["checks"][str(t)] = digests(f"optimizers/{name}/{t}", values)
    case["codes"] = [packed(m.codes) for m in moments["matrix"]]
    case["absmax"] = [rounded(m.absmax) for m in moments["matrix"]]
    return case


def rest(beta: float) -> np.float32:
    return f32(1) - f32(beta)


def adamw8bit(p, g, moments, t, s):
    m, v = moments
    beta1, beta2 = s["betas"]
    k1, k2 = 1 - beta1**t, math.sqrt(1 - beta2**t)
    m = f32(beta1) * m + rest(beta1) * g
    v = f32(beta2) * v + rest(beta2) * g * g
    p = p * f32(1 - s["learningRate"] * s["weightDecay"])
    return p - f32(s["learningRate"] * k2 / k1) * (m / (np.sqrt(v) + f32(k2 * s["eps"]))), [m, v]


def lion8bit(p, g, moments, t, s):
    (m,) = moments
    beta1, beta2 = s["betas"]
    p = p * f32(1 - s["learningRate"] * s["weightDecay"])
    p = p - f32(s["learningRate"]) * np.sign(f32(beta1) * m + rest(beta1) * g)
    return p, [f32(beta2) * m + rest(beta2) * g]


def sgd8bit(p, g, moments, t, s):
    (m,) = moments
    g = g + f32(s["weightDecay"]) * p
    m = g if t == 1 else f32(s["momentum"]) * m + g
    step = g + f32(s["momentum"]) * m if s["trueNesterov"] else m
    return p - f32(s["learningRate"]) * step, [m]


def ademamix8bit(p, g, moments, t, s):
    m1, m2, v = moments
    beta1, beta2, beta3 = s["betas"]
    alpha = min(t * s["alpha"] / s["alphaWarmup"], s["alpha"])
    a, b, share = math.log(beta1), math.log(beta3), t / s["beta3Warmup"]
    beta3 = min(math.exp(a * b / ((1 - share) * b + share * a)), beta3) if share < 1 else beta3
    k1, k2 = 1 - beta1**t, math.sqrt(1 - beta2**t)
    m1 = f32(beta1) * m1 + rest(beta1) * g
    m2 = f32(beta3) * m2 + rest(beta3) * g
    v = f32(beta2) * v + rest(beta2) * g * g
    p = p * f32(1 - s["learningRate"] * s["weightDecay"])
    step = (m1 * f32(1 / k1) + f32(alpha) * m2) / (np.sqrt(v) * f32(1 / k2) + f32(s["eps"]))
    return p - f32(s["learningRate"]) * step, [m1, m2, v]


# ---- the cases ---------------------------------------------------------------------------------------------------------


def elementwise() -> list:
    from bitsandbytes.optim.ademamix import _ReferenceAdEMAMix
    from lion_pytorch import Lion
    from schedulefree import AdamWScheduleFree, RAdamScheduleFree, SGDScheduleFree

    names = {
        "learningRate": "lr", "weightDecay": "weight_decay", "momentumDecay": "momentum_decay", "lambd": "lambd",
        "decoupledWeightDecay": "decoupled_weight_decay", "learningRateDecay": "lr_decay", "stepSizes": "step_sizes",
        "initialAccumulatorValue": "initial_accumulator_value", "warmupSteps": "warmup_steps", "weightLrPower": "weight_lr_power",
        "silentSgdPhase": "silent_sgd_phase", "alphaWarmup": "t_alpha", "beta3Warmup": "t_beta3",
    }

    def of(Class, **more):
        def make(params, settings):
            given = {names.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
            return Class(params, **given, **more)
        return make

    o = torch.optim
    adam = {"learningRate": 0.01, "betas": [0.9, 0.999], "eps": 1e-8}
    cases = [
        run("adamW", {**adam, "weightDecay": 0.1}, of(o.AdamW)),
        run("adamWAmsgrad", {**adam, "weightDecay": 0.1, "amsgrad": True}, of(o.AdamW)),
        run("adam", {**adam, "weightDecay": 0.1}, of(o.Adam)),
        run("lion", {"learningRate": 0.003, "betas": [0.9, 0.99], "weightDecay": 0.1}, of(Lion)),
        run("sgd", {"learningRate": 0.1, "weightDecay": 0.01}, of(o.SGD)),
        run("sgdMomentum", {"learningRate": 0.1, "momentum": 0.9, "dampening": 0.5, "weightDecay": 0.01}, of(o.SGD)),
        run("sgdNesterov", {"learningRate": 0.1, "momentum": 0.9, "weightDecay": 0.01}, of(o.SGD, nesterov=True)),
        run("adEMAMix", {"learningRate": 0.01, "betas": [0.9, 0.999, 0.9999], "alpha": 5, "weightDecay": 0.01}, of(_ReferenceAdEMAMix)),
        run("adEMAMixWarmup", {"learningRate": 0.01, "alpha": 3, "alphaWarmup": 8, "beta3Warmup": 30, "weightDecay": 0.01}, of(_ReferenceAdEMAMix), separate=True),
        run("nAdam", {**adam, "weightDecay": 0.1, "momentumDecay": 0.004}, of(o.NAdam)),
        run("nAdamDecoupled", {**adam, "weightDecay": 0.1, "decoupledWeightDecay": True}, of(o.NAdam)),
        run("rAdam", {**adam, "weightDecay": 0.1}, of(o.RAdam)),
        run("rAdamDecoupled", {**adam, "betas": [0.8, 0.99], "weightDecay": 0.1, "decoupledWeightDecay": True}, of(o.RAdam)),
        run("adamax", {**adam, "weightDecay": 0.1}, of(o.Adamax)),
        run("adagrad", {"learningRate": 0.1, "learningRateDecay": 0.05, "weightDecay": 0.01, "initialAccumulatorValue": 0.1}, of(o.Adagrad)),
        run("adadelta", {"learningRate": 1, "rho": 0.8, "weightDecay": 0.01}, of(o.Adadelta)),
        run("rmsProp", {"learningRate": 0.01, "weightDecay": 0.01}, of(o.RMSprop)),
        run("rmsPropCentered", {"learningRate": 0.01, "alpha": 0.9, "momentum": 0.9, "centered": True}, of(o.RMSprop)),
        run("rprop", {"learningRate": 0.01, "etas": [0.4, 1.3], "stepSizes": [1e-5, 0.05]}, of(o.Rprop)),
        run("asgd", {"learningRate": 0.01, "lambd": 0.1, "t0": 6, "weightDecay": 0.01}, of(o.ASGD)),
        run("adamWScheduleFree", {**adam, "weightDecay": 0.05, "warmupSteps": 5, "r": 1}, of(AdamWScheduleFree)),
        run("rAdamScheduleFree", {**adam, "weightDecay": 0.05}, of(RAdamScheduleFree)),
        run("rAdamScheduleFreeLoud", {**adam, "silentSgdPhase": False}, of(RAdamScheduleFree)),
        run("sgdScheduleFree", {"learningRate": 0.1, "weightDecay": 0.01, "warmupSteps": 3}, of(SGDScheduleFree)),
        run8bit("adamW8bit", {**adam, "weightDecay": 0.1}, [True, False], adamw8bit),
        run8bit("lion8bit", {"learningRate": 0.003, "betas": [0.9, 0.99], "weightDecay": 0.1}, [True], lion8bit),
        run8bit("sgdNesterov8bit", {"learningRate": 0.01, "momentum": 0.9, "weightDecay": 0.01, "trueNesterov": False}, [True], sgd8bit),
        run8bit("sgdTrueNesterov8bit", {"learningRate": 0.01, "momentum": 0.9, "weightDecay": 0.01, "trueNesterov": True}, [True], sgd8bit),
        run8bit("adEMAMix8bit", {**adam, "betas": [0.9, 0.999, 0.9999], "alpha": 5, "alphaWarmup": 8, "beta3Warmup": 30, "weightDecay": 0.01}, [True, True, False], ademamix8bit),
    ]
    return cases


# ---- state dicts of bitsandbytes ---------------------------------------------------------------------------------------


def stored(value):
    if not isinstance(value, torch.Tensor):
        return value
    data = value.detach().contiguous().numpy()
    return {"dtype": str(data.dtype), "shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode()}


def bitsandbytes_states() -> dict:
    """State dicts after three steps on the matrix (codes) and the convolution (float32), as bitsandbytes writes them: nested;
    and the states of AdamW8bit as versions before 0.44 had them, flat and with blocks of 2048."""
    import bitsandbytes as bnb

    cases = {}
    for name, Class, more in [
        ("adamW8bit", bnb.optim.AdamW8bit, {}), ("lion8bit", bnb.optim.Lion8bit, {}),
        ("sgdNesterov8bit", bnb.optim.SGD8bit, {"momentum": 0.9}), ("adEMAMix8bit", bnb.optim.AdEMAMix8bit, {}),
    ]:
        parameters = [torch.nn.Parameter(torch.tensor(start(tensor))) for tensor in ("matrix", "conv")]
        optimizer = Class(parameters, lr=1e-3, **more)
        for t in (1, 2, 3):
            for tensor, p in zip(("matrix", "conv"), parameters):
                p.grad = torch.tensor(gradient(tensor, t))
            optimizer.step()
        entries = optimizer.state_dict()["state"]
        nested = lambda entry: {k: {kk: stored(x) for kk, x in v.items()} if isinstance(v, dict) else stored(v) for k, v in entry.items()}
        cases[name] = {str(i): nested(entry) for i, entry in entries.items()}
        if name == "adamW8bit":
            old = {"step": 3}
            state = optimizer.state[parameters[0]]
            for k, signed in ((1, True), (2, False)):
                values = dequantize(state[f"state{k}"].numpy().reshape(-1), state[f"absmax{k}"].numpy(), signed)
                codes, absmax = quantize(values, signed, block=2048)
                old |= {f"state{k}": stored(torch.tensor(codes.reshape(SHAPES["matrix"]))), f"absmax{k}": stored(torch.tensor(absmax)), f"qmap{k}": stored(state[f"qmap{k}"])}
            cases["adamW8bitOld"] = {"0": old, "1": cases[name]["1"]}
    return cases


def write_family(family: str, script: str, cases: list) -> None:
    write_json(FIXTURES / "optimizers" / f"{family}.json", {"script": script, "cases": {case["name"]: case for case in cases}})


if __name__ == "__main__":
    sys.modules.setdefault("optimizers", sys.modules[__name__])
    write_family("elementwise", "scripts/reference/optimizers.py", elementwise())
    states = {"script": "scripts/reference/optimizers.py", "states": bitsandbytes_states()}
    write_json(FIXTURES / "optimizers" / "bitsandbytes.json", states)
