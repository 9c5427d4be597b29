"""Writes test/fixtures/samplers/samplers.json: 20 steps of every sampler by diffusers, on a formula and on the tiny U-Nets.

The schedulers are set so that their formulas are those of sd-scripts v0.6.6: times counted from 1 and no clipping (DDIM, PNDM), the
Runge-Kutta start (PNDM), times from 999 to 0 (the samplers of noise levels), an end at time 0 (DPM-Solver). PNDM averages outputs
of different times before it makes noise of them, which spoils velocity; here it is given the noise that each output stands for.

The formula is a model of few numbers that is not linear, see `formula_model`; latents after every call are kept. The first are
formula("samplers/noise", [4], "normal-like"), the fresh noise of call i is formula("samplers/noise/i", ...). Of the U-Nets (epsilon:
tinySd1, velocity: tinySd2) the digests of the results are kept; latents and context are '<model>/samplers/latents' and '.../context'.
"""

import importlib
import math
import warnings

import diffusers
import torch

from digest import digest
from formula import FIXTURES, formula, write_json
from tiny_models import TinyModel

torch.set_num_threads(2)
warnings.simplefilter("ignore")
diffusers.utils.logging.set_verbosity_error()

STEPS = 20
SHAPE, CONTEXT = [1, 8, 8, 4], 77
SMALL = {"whole": 12, "samples": 8, "digits": 8}
LINSPACE = {"timestep_spacing": "linspace"}
COUNTED = {"timestep_spacing": "leading", "steps_offset": 1}
SOLVER = {"solver_order": 2, "solver_type": "midpoint", "final_sigmas_type": "sigma_min"}
SCHEDULERS = {
    "ddim": ("DDIMScheduler", {**COUNTED, "clip_sample": False, "set_alpha_to_one": True}),
    "pndm": ("PNDMScheduler", {**COUNTED, "skip_prk_steps": False, "set_alpha_to_one": False}),
    "lms": ("LMSDiscreteScheduler", LINSPACE),
    "euler": ("EulerDiscreteScheduler", LINSPACE),
    "euler_a": ("EulerAncestralDiscreteScheduler", LINSPACE),
    "heun": ("HeunDiscreteScheduler", LINSPACE),
    "dpm_2": ("KDPM2DiscreteScheduler", LINSPACE),
    "dpm_2_a": ("KDPM2AncestralDiscreteScheduler", LINSPACE),
    "dpmsolver": ("DPMSolverMultistepScheduler", {**SOLVER, **LINSPACE, "algorithm_type": "dpmsolver"}),
    "dpmsolver++": ("DPMSolverMultistepScheduler", {**SOLVER, **LINSPACE, "algorithm_type": "dpmsolver++"}),
    "dpmsingle": ("DPMSolverSinglestepScheduler", {**SOLVER, "algorithm_type": "dpmsolver++"}),
}
ANCESTRAL = ["euler_a", "dpm_2_a"]


def normal(name, shape):
    return torch.from_numpy(formula(name, shape, "normal-like")).double()


def make(name: str, prediction: str, steps: int):
    kind, options = SCHEDULERS[name]
    scheduler = getattr(diffusers, kind)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction, **options
    )
    scheduler.set_timesteps(steps)
    return scheduler


def run(name: str, prediction: str, model, noise, steps: int = STEPS):
    """Times of the calls and the latents after each."""
    scheduler = make(name, "epsilon" if name == "pndm" else prediction, steps)
    module = importlib.import_module(type(scheduler).__module__)
    latents = noise * float(scheduler.init_noise_sigma)
    times, after = [], []
    for i, time in enumerate(scheduler.timesteps):
        if name in ANCESTRAL:
            module.randn_tensor = lambda shape, **_: normal(f"samplers/noise/{i}", list(shape))
        output = model(scheduler.scale_model_input(latents, time), float(time))
        if name == "pndm" and prediction == "v_prediction":
            a = float(scheduler.alphas_cumprod[int(time)])
            output = math.sqrt(a) * output + math.sqrt(1 - a) * latents
        latents = scheduler.step(output, time, latents).prev_sample.double()
        times.append(float(time))
        after.append(latents)
    return float(scheduler.init_noise_sigma), times, after


def formula_model(x, time: float):
    return 0.7 * x + 0.4 * torch.sin(2 * x + time / 150) - 0.1 * math.cos(time / 300)


def rounded(values, digits: int) -> list[float]:
    return [float(f"{float(v):.{digits}g}") for v in values]


def of_formula(name: str, prediction: str, steps: int) -> dict:
    sigma, times, after = run(name, prediction, formula_model, normal("samplers/noise", [4]), steps)
    return {
        "sampler": name, "prediction": prediction, "steps": steps, "initialSigma": sigma,
        "times": rounded(times, 7), "latents": [rounded(x, 8) for x in after],
    }


def of_unet(model: TinyModel, prediction: str) -> dict:
    width = model.unet.config.cross_attention_dim
    context = normal(f"{model.name}/samplers/context", [1, CONTEXT, width])
    noise = normal(f"{model.name}/samplers/latents", SHAPE)

    def predict(x, time):
        with torch.no_grad():
            return model.predict(x, torch.tensor([time], dtype=torch.float64), context)

    results = {}
    for name in SCHEDULERS:
        if name in ANCESTRAL:
            continue  # their noise is another generator's; the formula covers them
        result = run(name, prediction, predict, noise)[2][-1]
        results[name] = digest(f"{model.name}/results/{name}", result, **SMALL)
        del results[name]["id"]
    return {"prediction": prediction, "latents": SHAPE, "context": list(context.shape), "results": results}


def main() -> None:
    cases = [of_formula(name, prediction, STEPS) for name in SCHEDULERS for prediction in ("epsilon", "v_prediction")]
    # Few or odd steps end with a step of first order.
    cases += [of_formula(name, "epsilon", steps) for name in ("dpmsolver", "dpmsolver++", "dpmsingle") for steps in (7, 14)]
    unets = {"tinySd1": "epsilon", "tinySd2": "v_prediction"}
    write_json(FIXTURES / "samplers" / "samplers.json", {
        "script": "scripts/reference/samplers.py", "cases": cases,
        "unets": {name: of_unet(TinyModel(name), prediction) for name, prediction in unets.items()},
    })


if __name__ == "__main__":
    main()
