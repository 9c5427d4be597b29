"""Writes test/fixtures/schedules/schedules.json: the learning rate of every step of four horizons, by diffusers, transformers
and torch.optim.lr_scheduler, as base64 of little-endian float64.

Two groups are stepped, with rates 1e-3 and 4e-4, except where noted. The warm-up is 0 or a tenth of the horizon.

`adafactor` reports what AdaFactor chose by itself: cases with real steps of it, one tensor in each of two groups. What it
reports does not depend on the horizon, which is checked here; the longest is stored.
"""

import base64
import json
import struct
import warnings

import torch
from diffusers.optimization import get_scheduler as diffusers_scheduler
from torch.optim import lr_scheduler
from transformers.optimization import Adafactor, AdafactorSchedule
from transformers.optimization import get_scheduler as transformers_scheduler

from formula import FIXTURES, formula

warnings.filterwarnings("ignore")

HORIZONS = [7, 40, 100, 251]
RATES = [1e-3, 4e-4]


def optimizer():
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in RATES]
    return torch.optim.SGD(groups, lr=RATES[0], momentum=0.9)


def rates(make, horizon):
    """The rates that each of the horizon's updates would use, step after step, group within step."""
    stepped = optimizer()
    scheduler = make(stepped, horizon)
    values = []
    for _ in range(horizon):
        values += [group["lr"] for group in stepped.param_groups]
        stepped.step()
        scheduler.step()
    return base64.b64encode(struct.pack(f"<{len(values)}d", *values)).decode()


def case(name, options, make, horizons=HORIZONS):
    return {"name": name, "options": options, "rates": {str(n): rates(lambda o, n=n: make(o, n), n) for n in horizons}}


def share(horizon):
    return int(0.1 * horizon)


def named():
    """`options` are those of learningRateSchedule; a warm-up of `tenth` is int(0.1 * horizon)."""
    yield case("constant", {"schedule": "constant"}, lambda o, n: diffusers_scheduler("constant", o))
    for warm in [False, True]:
        w = (lambda n: share(n)) if warm else (lambda n: 0)
        tail = ", warm-up" if warm else ""
        base = {"warmupSteps": {"share": 0.1}} if warm else {}

        def built(name, label=None, ours=None, library=diffusers_scheduler, **kwargs):
            def make(o, n):
                return library(name, o, num_warmup_steps=w(n), num_training_steps=n, **kwargs)

            return case((label or name) + tail, {"schedule": name, **base, **(ours or {})}, make)

        yield built("constant_with_warmup")
        yield built("linear")
        yield built("cosine")
        yield built("cosine_with_restarts", "three restarts", {"cycles": 3}, num_cycles=3)
        yield built("polynomial", "polynomial", {"learningRate": 1e-3})
        yield built("polynomial", "polynomial, power 2.5", {"learningRate": 1e-3, "power": 2.5}, power=2.5)
        special = {"scheduler_specific_kwargs": {"timescale": 30}}
        yield built("inverse_sqrt", "inverse_sqrt, timescale", {"timescale": 30}, transformers_scheduler, **special)
        special = {"scheduler_specific_kwargs": {"min_lr_rate": 0.1, "num_cycles": 0.5}}
        yield built("cosine_with_min_lr", None, {"minRatio": 0.1}, transformers_scheduler, **special)
        for shape in ["cosine", "linear", "1-sqrt"]:
            for ratio in [0, 0.2]:

                def decay(o, n, shape=shape, ratio=ratio):
                    special = {"num_decay_steps": int(0.3 * n), "decay_type": shape, "warmup_type": shape, "min_lr_ratio": ratio}
                    return transformers_scheduler(
                        "warmup_stable_decay", o, num_warmup_steps=w(n), num_training_steps=n, scheduler_specific_kwargs=special
                    )

                options = {
                    "schedule": "warmup_stable_decay",
                    "decaySteps": {"share": 0.3},
                    "minRatio": ratio,
                    "arguments": {"decay_type": shape, "warmup_type": shape},
                }
                yield case(f"warmup_stable_decay {shape} to {ratio}{tail}", {**options, **base}, decay)
    rules = "1:10,0.1:30,0.5:31,0.005"
    yield case(
        "piecewise_constant",
        {"schedule": "piecewise_constant", "arguments": {"step_rules": rules}},
        lambda o, n: diffusers_scheduler("piecewise_constant", o, step_rules=rules),
    )


TORCH = [
    ("StepLR", {"step_size": 9}),
    ("StepLR", {"step_size": 30, "gamma": 0.7}),
    ("MultiStepLR", {"milestones": [3, 20, 20, 90], "gamma": 0.5}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.2, "total_iters": 25}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.6, "total_iters": 60}),
    ("ExponentialLR", {"gamma": 0.97}),
    ("PolynomialLR", {}),
    ("PolynomialLR", {"total_iters": 80, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 50, "eta_min": 1e-5}),
    ("CosineAnnealingWarmRestarts", {"T_0": 10}),
    ("CosineAnnealingWarmRestarts", {"T_0": 6, "T_mult": 2, "eta_min": 2e-5}),
    ("OneCycleLR", {"max_lr": [2e-3, 1e-3], "cycle_momentum": False}),
    ("OneCycleLR", {"max_lr": 2e-3, "cycle_momentum": False, "anneal_strategy": "linear", "pct_start": 0.4}),
    ("OneCycleLR", {"max_lr": 2e-3, "cycle_momentum": False, "three_phase": True, "div_factor": 10, "final_div_factor": 100}),
    ("CyclicLR", {"base_lr": 1e-5, "max_lr": [1e-3, 5e-4], "step_size_up": 13, "cycle_momentum": False}),
    ("CyclicLR", {"base_lr": 1e-5, "max_lr": 1e-3, "step_size_up": 8, "step_size_down": 20, "mode": "triangular2", "cycle_momentum": False}),
    ("CyclicLR", {"base_lr": 1e-5, "max_lr": 1e-3, "step_size_up": 8, "mode": "exp_range", "gamma": 0.99, "cycle_momentum": False}),
]


def torch_cases():
    for name, arguments in TORCH:

        def make(o, n, name=name, arguments=arguments):
            extra = {"total_steps": n} if name == "OneCycleLR" else {}
            return getattr(lr_scheduler, name)(o, **arguments, **extra)

        label = " ".join([name, *(f"{key}={value}" for key, value in arguments.items() if key != "cycle_momentum")])
        yield case(label, {"schedule": name, "arguments": arguments}, make)


ADAFACTOR = [
    {},
    {"warmup_init": True, "weight_decay": 0.1},
    {"scale_parameter": False},
    {"warmup_init": True, "scale_parameter": False},
    {"eps": (1e-30, 2.0), "clip_threshold": 0.5, "beta1": 0.9},
]
# The second is smaller than the least size that rates are scaled by.
TENSORS = [("first", [6, 5], 1.0), ("second", [7], 1e-5)]
INITIAL_RATE = 3e-4


def adafactor_case(arguments):
    def reported(horizon):
        params = [
            torch.nn.Parameter(torch.tensor(formula(f"adafactor/{name}/p", shape=shape, kind="normal-like", scale=scale), dtype=torch.float64))
            for name, shape, scale in TENSORS
        ]
        stepped = Adafactor([{"params": [p]} for p in params], lr=None, relative_step=True, **arguments)
        scheduler = AdafactorSchedule(stepped, INITIAL_RATE)
        values = list(scheduler.get_last_lr())
        for step in range(1, horizon + 1):
            for p, (name, shape, _) in zip(params, TENSORS):
                p.grad = torch.tensor(formula(f"adafactor/{name}/g{step}", shape=shape, kind="normal-like"), dtype=torch.float64)
            stepped.step()
            scheduler.step()
            values += scheduler.get_last_lr()
        return values

    longest = reported(max(HORIZONS))
    for horizon in HORIZONS:
        assert reported(horizon) == longest[: 2 * horizon + 2]
    return {"arguments": arguments, "rates": base64.b64encode(struct.pack(f"<{len(longest)}d", *longest)).decode()}


def main() -> None:
    folder = FIXTURES / "schedules"
    folder.mkdir(parents=True, exist_ok=True)
    fixture = {"script": "scripts/reference/schedules.py", "groupRates": RATES, "cases": [*named(), *torch_cases()]}
    tensors = [{"name": name, "shape": shape, "scale": scale} for name, shape, scale in TENSORS]
    fixture["adafactor"] = {"initialRate": INITIAL_RATE, "tensors": tensors, "cases": [adafactor_case(a) for a in ADAFACTOR]}
    (folder / "schedules.json").write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
