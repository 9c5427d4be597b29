"""Writes test/fixtures/losses/losses.json: losses of a batch and their gradients, float64."""

import math

import torch

from digest import digest, significant
from formula import FIXTURES, formula, write_json
from noise import alphas_cumprod

SHAPE = [5, 6, 7, 4]
TIMESTEPS = [0, 1, 250, 500, 999]
LOSS_WEIGHTS = [1, 0.5, 1, 0.25, 2]
INPUTS = {"prediction": {"kind": "normal-like"}, "target": {"kind": "normal-like"}}
MASK = {"kind": "uniform", "scale": 0.5, "offset": 0.5}


def threshold(o, t, alphas):
    c, scale = o.get("huberC", 0.1), o.get("huberScale", 1.0)
    schedule = o.get("huberSchedule", "snr")
    if schedule == "constant":
        return torch.full(t.shape, c * scale, dtype=torch.float64)
    if schedule == "exponential":
        return torch.exp(math.log(c) / 1000 * t) * scale
    sigma = ((1 - alphas[t]) / alphas[t]).sqrt()
    return (1 - c) / (1 + sigma) ** 2 + c


def element_loss(o, d, c):
    kind = o.get("type", "l2")
    if kind == "l2":
        return d**2
    if kind == "l1":
        return d.abs()
    c = c.reshape(-1, 1, 1, 1)
    bent = (d**2 + c**2).sqrt() - c
    return 2 * c * bent if kind == "huber" else 2 * bent


def loss_of(prediction, target, mask, o, prediction_type, zero_terminal_snr, timesteps=TIMESTEPS, weights=LOSS_WEIGHTS):
    t = torch.tensor(timesteps)
    velocity = prediction_type == "v_prediction"
    loss = element_loss(o, prediction - target, threshold(o, t, alphas_cumprod(zero_terminal_snr).double()))
    if mask is not None:
        loss = loss * mask
    loss = loss.mean(dim=(1, 2, 3)) * torch.tensor(weights)
    original = alphas_cumprod(False).double()
    snr = (original / (1 - original))[t]
    capped = snr.clamp(max=1000)
    if o.get("minSnrGamma"):
        loss = loss * snr.clamp(max=o["minSnrGamma"]) / (snr + 1 if velocity else snr)
    if o.get("scaleVPredLossLikeNoisePred"):
        loss = loss * capped / (capped + 1)
    if o.get("vPredLikeLoss"):
        loss = loss + o["vPredLikeLoss"] * loss * (capped + 1) / capped
    if o.get("debiasedEstimation"):
        loss = loss / (capped + 1 if velocity else capped.sqrt())
    return loss.mean()


def make(name, options, prediction_type="epsilon", masked=False, zero_terminal_snr=False):
    tensors = {key: torch.from_numpy(formula(f"losses/{key}", SHAPE, **spec)).double() for key, spec in INPUTS.items()}
    tensors["prediction"].requires_grad_(True)
    mask = torch.from_numpy(formula("losses/mask", SHAPE[:-1], **MASK)).double().unsqueeze(-1) if masked else None
    loss = loss_of(*tensors.values(), mask, options, prediction_type, zero_terminal_snr)
    (gradient,) = torch.autograd.grad(loss, [tensors["prediction"]])
    return {
        "name": name,
        "options": options,
        "predictionType": prediction_type,
        "masked": masked,
        "zeroTerminalSnr": zero_terminal_snr,
        "loss": significant(loss.item()),
        "gradient": digest(f"losses/{name}", gradient),
    }


def cases():
    yield "squares", {}
    yield "squares of velocity under a mask", {}, "v_prediction", True
    yield "absolute values", {"type": "l1"}
    yield "absolute values under a mask", {"type": "l1", "debiasedEstimation": True}, "epsilon", True
    for kind in ("huber", "smooth_l1"):
        for schedule in ("constant", "exponential", "snr"):
            yield f"{kind}, {schedule}", {"type": kind, "huberSchedule": schedule}
        yield f"{kind}, scaled", {"type": kind, "huberSchedule": "exponential", "huberC": 0.25, "huberScale": 2}
        yield f"{kind} under a mask", {"type": kind, "minSnrGamma": 5}, "epsilon", True
        yield f"{kind} that ends in noise", {"type": kind, "huberC": 0.2, "minSnrGamma": 1}, "v_prediction", False, True
    yield "min-SNR", {"minSnrGamma": 5}
    yield "min-SNR of velocity", {"minSnrGamma": 5}, "v_prediction"
    yield "min-SNR that ends in noise", {"minSnrGamma": 5}, "v_prediction", False, True
    yield "velocity like noise", {"scaleVPredLossLikeNoisePred": True}, "v_prediction"
    yield "noise like velocity too", {"vPredLikeLoss": 0.5}
    yield "debiased", {"debiasedEstimation": True}
    yield "debiased velocity", {"debiasedEstimation": True}, "v_prediction"
    yield "all of noise", {"minSnrGamma": 5, "vPredLikeLoss": 0.3, "debiasedEstimation": True}
    together = {"minSnrGamma": 3, "scaleVPredLossLikeNoisePred": True, "debiasedEstimation": True}
    yield "all of velocity", together, "v_prediction"


def main() -> None:
    inputs = {**{key: {"shape": SHAPE, **spec} for key, spec in INPUTS.items()}, "mask": {"shape": SHAPE[:-1], **MASK}}
    common = {"script": "scripts/reference/losses.py", "inputs": inputs, "timesteps": TIMESTEPS, "lossWeights": LOSS_WEIGHTS}
    write_json(FIXTURES / "losses" / "losses.json", {**common, "cases": [make(*case) for case in cases()]})


if __name__ == "__main__":
    main()
