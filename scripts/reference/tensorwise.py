"""Writes test/fixtures/optimizers/tensorwise.json: 20 steps of the optimizers that need statistics of whole tensors.

The references are transformers' Adafactor, pytorch_optimizer's CAME, optimi's StableAdamW, in float64, and Muon by its
formula in float64, which is first compared with torch's, whose iteration is in bfloat16. A convolution [o, kh, kw, i] in
memory is [o, i, kh, kw] to all of them.
"""

import math

import numpy as np
import torch
from optimi import StableAdamW
from pytorch_optimizer import CAME
from transformers.optimization import Adafactor

from optimizers import CHECKS, SHAPES, STEPS, digests, gradient, start, write_family


def to_file(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2) if x.ndim == 4 else x


def to_memory(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def run(name: str, settings: dict, make, flatten: bool = False) -> dict:
    """make(parameters, settings) gives a torch optimizer, or anything with a step. flatten: convolutions are matrices of
    outputs by all else."""
    view = lambda x: x.reshape(x.shape[0], -1) if flatten and x.ndim == 4 else to_file(x)
    back = lambda x, shape: x.reshape(shape) if flatten else to_memory(x)
    parameters = {
        tensor: torch.nn.Parameter(torch.tensor(np.ascontiguousarray(view(start(tensor))), dtype=torch.float64))
        for tensor in SHAPES
    }
    optimizer = make(list(parameters.values()), settings)
    case = {"name": name, "settings": settings, "nan": False, "checks": {}}
    for t in range(1, STEPS + 1):
        for tensor, p in parameters.items():
            p.grad = torch.tensor(np.ascontiguousarray(view(gradient(tensor, t))), dtype=torch.float64)
        optimizer.step()
        if t in CHECKS:
            now = {tensor: back(p.detach().numpy(), SHAPES[tensor]) for tensor, p in parameters.items()}
            case["checks"][str(t)] = digests(f"optimizers/{name}/{t}", now)
    return case


def adafactor(params, s):
    relative = s.get("relativeStep", True)
    return Adafactor(
        params,
        lr=None if relative else s["learningRate"],
        eps=(1e-30, 1e-3),
        clip_threshold=s.get("clipThreshold", 1.0),
        decay_rate=s.get("decayRate", -0.8),
        beta1=s.get("beta1"),
        weight_decay=s.get("weightDecay", 0.0),
        scale_parameter=s.get("scaleParameter", True),
        relative_step=relative,
        warmup_init=s.get("warmupInit", False),
    )


def came(params, s):
    return CAME(params, lr=s["learningRate"], betas=(0.9, 0.999, 0.9999), weight_decay=s["weightDecay"], weight_decouple=True)


def stable_adamw(params, s):
    return StableAdamW(
        params, lr=s["learningRate"], betas=tuple(s["betas"]), weight_decay=s["weightDecay"], eps=1e-6, foreach=False, triton=False
    )


class Muon:
    def __init__(self, params, s, dtype=torch.float64):
        self.s, self.dtype, self.params = s, dtype, params
        self.adam = torch.optim.AdamW(
            [p for p in params if p.ndim < 2], lr=s["adamLearningRate"], betas=(0.9, 0.95), eps=1e-10, weight_decay=s["weightDecay"]
        )
        self.momenta = [torch.zeros_like(p) for p in params]

    def orthogonal(self, u):
        x = u.to(self.dtype)
        if tall := x.size(0) > x.size(1):
            x = x.T
        x = x / (x.norm() + 1e-7)
        for _ in range(5):
            gram = x @ x.T
            x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
        return (x.T if tall else x).double()

    @torch.no_grad()
    def step(self):
        lr, keep = self.s["learningRate"], 0.95
        for p, momentum in zip(self.params, self.momenta):
            if p.ndim < 2:
                continue
            momentum.mul_(keep).add_(p.grad, alpha=1 - keep)
            update = (1 - keep) * p.grad + keep * momentum if self.s.get("nesterov", True) else momentum
            update = self.orthogonal(update.reshape(len(update), -1)).reshape(p.shape)
            p.mul_(1 - lr * self.s["weightDecay"])
            p.sub_(update, alpha=lr * math.sqrt(max(1, p.size(-2) / p.size(-1))))
        self.adam.step()


def check_muon() -> None:
    """The formula in bfloat16 is what torch has, but for the rounding of sums."""
    values, g = torch.tensor(start("matrix")), torch.tensor(gradient("matrix", 1))
    for turned in (False, True):
        theirs, ours = [torch.nn.Parameter((values.T if turned else values).clone().double()) for _ in range(2)]
        for p in (theirs, ours):
            p.grad = (g.T if turned else g).clone().double()
        torch.optim.Muon([theirs], lr=1.0, weight_decay=0.1, momentum=0.95).step()
        settings = {"learningRate": 1.0, "weightDecay": 0.1, "adamLearningRate": 0.0}
        scalar = torch.nn.Parameter(torch.zeros([]))
        scalar.grad = torch.zeros([])
        Muon([ours, scalar], settings, torch.bfloat16).step()
        error = (ours - theirs).abs().max().item()
        print(f"muon beside torch's: largest difference {error:.1e}")
        assert error < 2e-2


def tensorwise() -> list:
    manual = {"learningRate": 1e-3, "relativeStep": False, "scaleParameter": False, "beta1": 0.9, "weightDecay": 0.01}
    muon = {"learningRate": 0.02, "weightDecay": 0.1, "adamLearningRate": 1e-3}
    return [
        run("adaFactor", {}, adafactor),
        run("adaFactorWarmup", {"warmupInit": True}, adafactor),
        run("adaFactorManual", manual, adafactor),
        run("adaFactorScaled", {**manual, "scaleParameter": True, "clipThreshold": 0.7, "decayRate": -0.5}, adafactor),
        run("adaFactorFlat", {"flattenConv": True}, adafactor, flatten=True),
        run("came", {"learningRate": 1e-3, "weightDecay": 0.1}, came),
        run("cameFlat", {"learningRate": 1e-3, "weightDecay": 0.1, "flattenConv": True}, came, flatten=True),
        run("stableAdamW", {"learningRate": 0.01, "betas": [0.9, 0.99], "weightDecay": 0.1}, stable_adamw),
        run("muon", muon, Muon),
        run("muonPlain", {**muon, "nesterov": False}, Muon),
    ]


if __name__ == "__main__":
    check_muon()
    write_family("tensorwise", "scripts/reference/tensorwise.py", tensorwise())
