"""Writes test/fixtures/optimizers/adaptive.json: 20 steps of each learning-rate-free optimizer on three tensors.

The references are the packages of the methods' authors (dadaptation 3.2, prodigyopt 1.1.2) in float64. Beside the
parameters, which optimizers.py describes, each case holds the step size d after every step and the scalars after the
last, and the same from a run whose parameters are rounded to float32 after every step and nothing else is: how far
that alone leads. The reader is test/support/optimizerSuite.ts, and test/optim/adaptive.test.ts for the scalars.

`published` are ten steps with gradient = parameter, checked here against numbers from a float32 run of the packages.
"""

import math
import sys

import numpy as np
import torch
from dadaptation import DAdaptAdaGrad, DAdaptAdam, DAdaptAdan, DAdaptLion, DAdaptSGD
from dadaptation.experimental import DAdaptAdamPreprint, DAdaptAdanIP
from prodigyopt import Prodigy

from digest import significant
from formula import FIXTURES, write_json
from optimizers import CHECKS, SHAPES, run, start

SCRIPT = "scripts/reference/adaptive.py"
NAMES = {
    "learningRate": "lr", "weightDecay": "weight_decay", "useBiasCorrection": "use_bias_correction", "growthRate": "growth_rate",
    "noProx": "no_prox", "safeguardWarmup": "safeguard_warmup", "dCoef": "d_coef", "sliceP": "slice_p",
}
# Our scalars, and what the packages' groups call them.
SCALARS = {
    "d": ("d",), "dMax": ("d_max",), "weighted": ("numerator_weighted", "gsq_weighted", "d_numerator"), "k": ("k",),
    "firstNorm": ("g0_norm",), "sksq": ("sksq_weighted",), "skl1": ("skl1",), "denominator": ("d_denom",),
}


def given(settings: dict) -> dict:
    return {NAMES.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in settings.items()}


def scalars(optimizer) -> dict:
    group = {k: v for g in reversed(optimizer.param_groups) for k, v in g.items()}
    if isinstance(optimizer, DAdaptSGD):  # kept in the last group
        group["g0_norm"] = optimizer.param_groups[-1]["g0_norm"]
    found = {ours: next((group[name] for name in names if name in group), None) for ours, names in SCALARS.items()}
    return {ours: significant(float(x)) for ours, x in found.items() if x is not None}


def case(name: str, Class, settings: dict, factors: list | None = None) -> list:
    """Twice: with gradients that have nothing to do with each other, and with gradients that also pull every parameter to zero
    from where it started, so that d has something to find. factors: a group for each tensor, with these scales of its steps."""
    return [one(name, Class, settings, factors, False), one(f"{name}Pulled", Class, settings, factors, True)]


def one(name: str, Class, settings: dict, factors: list | None, pulled: bool) -> dict:
    """In float64, and beside it what comes of storing the parameters in float32: its d, its scalars, and its largest error of a
    parameter as test/support/digest.ts measures it."""
    (exact, values), (stored, rounded) = (steps(name, Class, settings, factors, pulled, store) for store in (False, True))
    scale = lambda x, tensor: max(math.sqrt(np.mean(x**2)), math.sqrt(np.mean(start(tensor).astype(np.float64) ** 2)))
    errors = lambda x, y, tensor: np.max(np.abs(y - x) / (scale(x, tensor) + np.abs(x)))
    error = max(errors(x[k], y[k], tensor) for x, y in zip(values, rounded) for k, tensor in enumerate(SHAPES))
    worst = max(abs(a / b - 1) for a, b in zip(stored["d"], exact["d"]))
    print(f"{name}: d takes {len(set(exact['d']))} values, {exact['d'][0]} ... {exact['d'][-1]}; stored in float32 d is within {worst:.1e}, parameters {error:.1e}")
    assert len(set(exact["d"])) > 5 or not pulled, f"{name}: d stays {exact['d'][-1]}"
    return exact | {"stored": {"d": stored["d"], "scalars": stored["scalars"], "error": significant(float(error))}}


def steps(name: str, Class, settings: dict, factors: list | None, pulled: bool, store: bool) -> tuple:
    """The case, and its parameters at the steps that are checked. store: in float32."""
    made, trajectory, values = [], [], []

    def make(params, settings):
        groups = params if factors is None else [{"params": [p], "layer_scale": f} for p, f in zip(params, factors)]
        optimizer = Class(groups, **given(settings))
        made.append(optimizer)
        step = optimizer.step

        def recorded():
            if pulled:
                for p, tensor in zip(params, SHAPES):
                    p.grad += torch.tensor(start(tensor), dtype=p.dtype)
            step()
            if store:
                for p in params:
                    p.data.copy_(p.data.float().double())
            if len(trajectory) + 1 in CHECKS:
                values.append([p.detach().numpy().copy() for p in params])
            trajectory.append(significant(float(optimizer.param_groups[0]["d"])))

        optimizer.step = recorded
        return optimizer

    result = run(name, settings, make)
    result |= {"d": trajectory, "scalars": scalars(made[0])}
    if factors is not None:
        result["factors"] = factors
    return result, values


def cases() -> list:
    first = {"learningRate": 1, "d0": 1e-4}
    return sum([
        case("dAdaptAdam", DAdaptAdam, {**first, "weightDecay": 0.01}),
        case("dAdaptAdamDecoupled", DAdaptAdam, {**first, "betas": [0.9, 0.99], "weightDecay": 0.05, "decouple": True, "useBiasCorrection": True, "growthRate": 1.5}),
        case("dAdaptAdamFactors", DAdaptAdam, {**first}, factors=[1.0, 0.5, 0.3]),
        case("dAdaptAdamPreprint", DAdaptAdamPreprint, {**first, "weightDecay": 0.01, "betas": [0.9, 0.99]}),
        case("dAdaptAdamPreprintDecoupled", DAdaptAdamPreprint, {**first, "weightDecay": 0.05, "decouple": True, "growthRate": 1.3}),
        case("dAdaptAdaGrad", DAdaptAdaGrad, {**first, "weightDecay": 0.01}),
        case("dAdaptAdaGradMomentum", DAdaptAdaGrad, {**first, "momentum": 0.9, "growthRate": 1.2, "d0": 1e-3}),
        case("dAdaptAdan", DAdaptAdan, {**first}),
        case("dAdaptAdanNoProx", DAdaptAdan, {**first, "noProx": True, "betas": [0.95, 0.9, 0.98], "growthRate": 1.3}),
        case("dAdaptAdanIP", DAdaptAdanIP, {**first}),
        case("dAdaptAdanIPNoProx", DAdaptAdanIP, {**first, "noProx": True, "weightDecay": 0.1, "growthRate": 1.2}),
        case("dAdaptLion", DAdaptLion, {**first, "weightDecay": 0.1}),
        case("dAdaptSGD", DAdaptSGD, {**first, "weightDecay": 0.01}),
        case("dAdaptSGDMomentum", DAdaptSGD, {**first, "momentum": 0.9, "growthRate": 1.5}),
        case("prodigy", Prodigy, {**first, "weightDecay": 0.01}),
        case("prodigyDiffusion", Prodigy, {**first, "betas": [0.9, 0.99], "weightDecay": 0.01, "useBiasCorrection": True, "safeguardWarmup": True, "dCoef": 2}),
        case("prodigyCoupled", Prodigy, {**first, "weightDecay": 0.02, "decouple": False, "beta3": 0.9, "growthRate": 1.4}),
        case("prodigySliced", Prodigy, {**first, "sliceP": 11, "weightDecay": 0.01}),
        case("prodigyWithoutMean", Prodigy, {**first, "betas": [0.0, 0.99], "weightDecay": 0.01, "decouple": False, "sliceP": 3, "growthRate": 1.5}),
    ], [])


# d and parameters after ten steps from a float32 run.
PUBLISHED = {
    "dAdaptAdam": (DAdaptAdam, {}, 2.4730785, [3.5234115, 2.4297657, 0.35695881, -0.83190781, 4.4611506, 0.40845168]),
    "dAdaptAdamPreprint": (DAdaptAdamPreprint, {}, 5.304856, [-0.31068897, -8.5781956, 7.2509084, -0.2900767, -11.576874, 9.9111414]),
    "dAdaptAdaGrad": (DAdaptAdaGrad, {}, 0.0052575861, [0.49378353, -0.24379358, 0.99377859, -1.9937761, 0.11881402, 0.74378026]),
    "dAdaptAdan": (DAdaptAdan, {}, 22.560786, [0.19059531, 0.39826068, 0.4633725, -0.90102464, 2.873332, 0.37553692]),
    "dAdaptAdanIP": (DAdaptAdanIP, {}, 35.948605, [-0.58852488, -3.9743221, 0.39305016, -0.85099447, 5.3887415, 0.02366164]),
    "dAdaptLion": (DAdaptLion, {}, 0.012526184, [0.46962771, -0.21962762, 0.96962774, -1.9696274, 0.094627611, 0.71962774]),
    "dAdaptSGD": (DAdaptSGD, {}, 0.09589158, [0.47318032, -0.23659016, 0.94636065, -1.8927213, 0.11829508, 0.70977044]),
    "dAdaptSGDMomentum": (DAdaptSGD, {"momentum": 0.9}, 0.097569909, [0.49428385, -0.24714193, 0.98856771, -1.9771354, 0.12357096, 0.74142575]),
    "prodigy": (Prodigy, {}, 0.33727567, [-0.11965853, 0.1457088, 0.40522107, 1.4656354, -0.4230606, 0.73300445]),
    "prodigySliced": (Prodigy, {"sliceP": 2}, 0.21244023, [0.19794241, 0.086671472, -0.25996122, 1.2884153, 0.28759825, 0.18524688]),
}


def published() -> dict:
    result = {}
    for name, (Class, settings, d, expected) in PUBLISHED.items():
        found = {}
        for dtype in (torch.float32, torch.float64):
            p = torch.nn.Parameter(torch.tensor([[0.5, -0.25, 1], [-2, 0.125, 0.75]], dtype=dtype))
            optimizer = Class([p], lr=1.0, d0=1e-3, **given(settings))
            for _ in range(10):
                p.grad = p.detach().clone()
                optimizer.step()
            found[dtype] = (p.detach().numpy().astype(np.float64).ravel(), scalars(optimizer))
        single, exact = found[torch.float32], found[torch.float64]
        error = lambda x: float(np.max(np.abs(x - expected) / np.abs(expected)))
        print(f"{name}: from the published run {error(single[0]):.1e} in float32, {error(exact[0]):.1e} in float64; d {exact[1]['d'] / d - 1:.1e}")
        result[name] = {"settings": {"learningRate": 1, "d0": 1e-3, **settings}, "p": [significant(x) for x in exact[0]], "published": expected, "scalars": exact[1]}
    return result


if __name__ == "__main__":
    sys.modules.setdefault("adaptive", sys.modules[__name__])
    write_json(FIXTURES / "optimizers" / "adaptive.json", {
        "script": SCRIPT, "cases": {c["name"]: c for c in cases()}, "published": published(),
    })
