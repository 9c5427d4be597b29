"""Writes test/fixtures/models/{tinySd1,tinySd2}.json: float64 outputs, gradients, LoRA steps and DDIM samples of tiny models.

Weights are the formula values of the parameter names (tiny_models.py). Inputs are formula tensors named '<model>/<part>/<input>'
in channels-last layout, losses are sum(output * dy) with dy = '<model>/<part>/dy'. Weight gradients are in file layout
([o, i, kh, kw]); every parameter has one, so its digest also tells the shape. The id of a digest is '<model>/<section>/<key>', where sections nest with '/'; ids are not stored.
"""

import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler

from digest import digest, significant
from formula import FIXTURES, formula, write_json
from tiny_models import CONFIGS, TinyModel, embeddings

torch.set_num_threads(2)
FULL = {}
SMALL = {"whole": 12, "samples": 8, "digits": 8}
TINY = {"whole": 4, "samples": 3, "projections": 2, "digits": 7}


def normal(name, *shape):
    return torch.from_numpy(formula(name, list(shape), "normal-like")).double()


class Writer:
    """Collects digests whose ids are the path they are stored under."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.out: dict = {}

    def put(self, section: str, key: str, value, detail, scale=None) -> None:
        entry = digest(f"{self.prefix}/{section}/{key}", value, scale=scale, **detail)
        del entry["id"]
        self.at(section)[key] = entry

    def at(self, section: str) -> dict:
        node = self.out
        for part in section.split("/"):
            node = node.setdefault(part, {})
        return node

    def gradients(self, section: str, gradients: dict, detail) -> None:
        """A gradient that is zero in exact arithmetic (the bias of a key projection) is measured against its weight's."""
        rms = {key: float(g.square().mean().sqrt()) for key, g in gradients.items()}
        for key, gradient in gradients.items():
            sibling = rms.get(key.replace(".bias", ".weight"), 0.0)
            zero = rms[key] <= 1e-9 * sibling
            self.put(section, key, gradient, detail, scale=sibling if zero else None)


def gradients_of(loss, tensors: dict) -> dict:
    found = torch.autograd.grad(loss, list(tensors.values()), allow_unused=True)
    return {key: gradient.detach() for key, gradient in zip(tensors, found) if gradient is not None}


def token_rows(pad: int) -> list[list[int]]:
    """A short caption and one that fills all 75 places."""
    short = [49406, 320, 1125, 539, 320, 2368, 267, 11, 49405, 518, 49407]
    return [short + [pad] * (77 - len(short)), [49406, *formula("captionIds", [75], "integer", 49406).tolist(), 49407]]


# ---- outputs and gradients --------------------------------------------------------------------------------------------


def text_section(w: Writer, m: TinyModel, pad: int) -> None:
    ids = token_rows(pad)
    tensor = torch.tensor(ids)
    hidden = m.hidden_states(tensor)
    for i, h in enumerate(hidden):
        w.put("text", f"hidden{i}", h, FULL)
    last = m.encode_text(tensor)
    w.put("text", "lastHidden", last, FULL)
    w.put("text", "clipSkip2", m.final_norm(hidden[-2]), FULL)
    w.out["text"]["ids"] = ids
    loss = (last * normal(f"{m.name}/text/dy", *last.shape)).sum()
    parameters = {k: p for k, p in m.parameters().items() if k.startswith("text_encoder.")}
    gradients = gradients_of(loss, parameters)
    assert gradients.keys() == parameters.keys()
    w.gradients("text/gradients", gradients, SMALL)


def unet_section(w: Writer, m: TinyModel, section: str, height: int, width: int, detail) -> None:
    latents = normal(f"{m.name}/{section}/latents", 2, height, width, 4).requires_grad_()
    context = normal(f"{m.name}/{section}/context", 2, 77, m.unet.config.cross_attention_dim).requires_grad_()
    timesteps = [17, 801]
    y = m.predict(latents, torch.tensor(timesteps), context)
    w.put(section, "sample", y, FULL)
    w.out[section] |= {"timesteps": timesteps, "latents": list(latents.shape), "context": list(context.shape)}
    loss = (y * normal(f"{m.name}/{section}/dy", *y.shape)).sum()
    parameters = {k: p for k, p in m.parameters().items() if k.startswith("unet.")}
    gradients = gradients_of(loss, {"latents": latents, "context": context, **parameters})
    w.put(section, "dlatents", gradients.pop("latents"), FULL)
    w.put(section, "dcontext", gradients.pop("context"), FULL)
    assert len(gradients) == len(parameters)
    w.gradients(f"{section}/gradients", gradients, detail)


def vae_section(w: Writer, m: TinyModel) -> None:
    image = normal(f"{m.name}/vaeEncoder/image", 1, 64, 48, 3).requires_grad_()
    latents = normal(f"{m.name}/vaeDecoder/latents", 1, 8, 6, 4).requires_grad_()
    parameters = {k: p for k, p in m.parameters().items() if k.startswith("vae.")}
    seen: set[str] = set()
    for section, x, y, key in [
        ("vaeEncoder", image, m.encode_image(image), "moments"),
        ("vaeDecoder", latents, m.decode_latents(latents), "image"),
    ]:
        w.put(section, key, y, FULL)
        w.out[section]["input"] = list(x.shape)
        loss = (y * normal(f"{m.name}/{section}/dy", *y.shape)).sum()
        gradients = gradients_of(loss, {"x": x, **parameters})
        w.put(section, "dx", gradients.pop("x"), FULL)
        w.gradients(f"{section}/gradients", gradients, SMALL)
        seen |= gradients.keys()
    assert seen == parameters.keys()


# ---- one LoRA training step -------------------------------------------------------------------------------------------

RANK, ALPHA = 4, 2.0
ADAMW = {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weightDecay": 0.01}
TARGETS = {"CLIPAttention": "lora_te", "CLIPMLP": "lora_te", "Transformer2DModel": "lora_unet"}


def formula_lora(name: str, shape) -> torch.Tensor:
    """down uniform with bound 1 / sqrt(in), up with 0.05: not zero, so that gradients reach down."""
    scale = 1 / math.sqrt(shape[1]) if "lora_down" in name else 0.05
    return torch.from_numpy(formula(name, shape, "uniform", scale)).double()


def attach_lora(m: TinyModel, rank, alpha, make=formula_lora, parts=("text", "unet"), drop=lambda name, h: h) -> dict[str, torch.Tensor]:
    """Wraps every linear and 1x1 convolution below the target classes: y + up(drop(down(x))) * alpha / rank."""
    weights: dict[str, torch.Tensor] = {}

    def wrap(layer, name):
        convolution = isinstance(layer, torch.nn.Conv2d)
        outer, inner = layer.weight.shape[:2]
        tail = [1, 1] if convolution else []
        down_name, up_name = f"{name}.lora_down.weight", f"{name}.lora_up.weight"
        down = make(down_name, [rank, inner, *tail]).requires_grad_()
        up = make(up_name, [outer, rank, *tail]).requires_grad_()
        weights[down_name], weights[up_name] = down, up
        apply, original = (F.conv2d if convolution else F.linear), layer.forward
        layer.forward = lambda x: original(x) + apply(drop(name, apply(x, down)), up) * (alpha / rank)

    for root in (getattr(m, part) for part in parts):
        for container_name, container in root.named_modules():
            prefix = TARGETS.get(type(container).__name__)
            if prefix is None:
                continue
            if prefix == "lora_te" and not container_name.startswith("text_model."):
                container_name = f"text_model.{container_name}"
            for child_name, child in container.named_modules():
                if isinstance(child, (torch.nn.Linear, torch.nn.Conv2d)):
                    wrap(child, f"{prefix}_{container_name}_{child_name}".replace(".", "_"))
    return weights


def alphas_cumprod() -> np.ndarray:
    """Scaled linear betas, float32 throughout, as the training schedule keeps them."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    table = torch.cumprod(1 - betas, dim=0)
    assert abs(float(table[999]) - 0.0046600951) < 1e-9 and abs(float(table[500]) - 0.276333) < 1e-6
    return table.double().numpy()


def micro_batch_loss(m: TinyModel, index: int, ids, timesteps, prediction: str, gamma: float | None):
    """The mean over the batch of the weighted per-image mean squared errors."""
    prefix = f"{m.name}/loraStep/m{index}"
    latents, noise = normal(f"{prefix}/latents", 2, 16, 8, 4), normal(f"{prefix}/noise", 2, 16, 8, 4)
    a = torch.from_numpy(alphas_cumprod()[timesteps])
    snr = a / (1 - a)
    root, noise_root = a.sqrt()[:, None, None, None], (1 - a).sqrt()[:, None, None, None]
    output = m.predict(root * latents + noise_root * noise, torch.tensor(timesteps), m.encode_text(torch.tensor(ids)))
    target = noise if prediction == "epsilon" else root * noise - noise_root * latents
    weight = torch.ones_like(snr)
    if gamma is not None:
        weight = snr.clamp(max=gamma) / (snr if prediction == "epsilon" else snr + 1)
    return ((output - target).square().mean(dim=(1, 2, 3)) * weight).mean()


def adamw_first_step(p, g):
    """One AdamW step (decay first) from zero state."""
    o = ADAMW
    p = p * (1 - o["learningRate"] * o["weightDecay"])
    m, v = (1 - o["beta1"]) * g, (1 - o["beta2"]) * g * g
    return p - o["learningRate"] / (1 - o["beta1"]) * m / (v.sqrt() / math.sqrt(1 - o["beta2"]) + o["eps"])


def lora_section(w: Writer, m: TinyModel, pad: int, variants) -> None:
    weights = attach_lora(m, RANK, ALPHA)
    rows = token_rows(pad)
    micro_batches = [{"ids": rows, "timesteps": [42, 700]}, {"ids": rows[::-1], "timesteps": [3, 333]}]
    w.out["loraStep"] = {
        "rank": RANK, "alpha": ALPHA, "adamW": ADAMW, "latents": [2, 16, 8, 4], "microBatches": micro_batches,
        "variants": {},
    }
    for name, prediction, gamma, count in variants:
        losses = [micro_batch_loss(m, i, b["ids"], b["timesteps"], prediction, gamma) for i, b in enumerate(micro_batches[:count])]
        gradients = gradients_of(sum(losses) / count, weights)
        assert len(gradients) == len(weights)
        section = f"loraStep/variants/{name}"
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients.values()))
        w.at(section).update({
            "prediction": prediction, "minSnrGamma": gamma, "microBatchCount": count,
            "losses": [significant(float(v)) for v in losses], "gradientNorm": significant(norm),
        })
        w.gradients(f"{section}/gradients", gradients, TINY)
        if gamma is not None and prediction == "epsilon":
            continue  # the weights follow from the gradients; two variants show the optimizer
        with torch.no_grad():
            for key, p in weights.items():
                w.put(f"{section}/weights", key, adamw_first_step(p, gradients[key]), TINY)


# ---- DDIM -------------------------------------------------------------------------------------------------------------


def ddim_section(w: Writer, m: TinyModel, steps: int = 7, guidance: float = 7.5) -> None:
    table, ratio = alphas_cumprod(), 1000 // steps
    width = m.unet.config.cross_attention_dim
    context, negative = normal(f"{m.name}/ddim/context", 1, 77, width), normal(f"{m.name}/ddim/negativeContext", 1, 77, width)
    times = [ratio * j + 1 for j in reversed(range(steps))]
    w.out["ddim"] = {"steps": steps, "guidance": guidance, "timesteps": times, "latents": [1, 16, 8, 4], "context": [1, 77, width]}
    for prediction in ("epsilon", "velocity"):
        scheduler = DDIMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False,
            set_alpha_to_one=True, prediction_type="epsilon" if prediction == "epsilon" else "v_prediction",
        )
        scheduler.set_timesteps(steps)
        assert scheduler.timesteps.tolist() == times
        x = normal(f"{m.name}/ddim/latents", 1, 16, 8, 4)
        for i, t in enumerate(times):
            with torch.no_grad():
                without = m.predict(x, torch.tensor([t]), negative)
                output = without + guidance * (m.predict(x, torch.tensor([t]), context) - without)
            a, b = table[t], table[t - ratio] if t >= ratio else 1.0
            if prediction == "epsilon":
                e = output
                x0 = (x - math.sqrt(1 - a) * e) / math.sqrt(a)
            else:
                x0 = math.sqrt(a) * x - math.sqrt(1 - a) * output
                e = math.sqrt(a) * output + math.sqrt(1 - a) * x
            theirs = scheduler.step(output, t, x).prev_sample
            x = math.sqrt(b) * x0 + math.sqrt(1 - b) * e
            difference = float((theirs - x).abs().max() / x.square().mean().sqrt())
            assert difference < 2e-6, difference  # diffusers takes square roots in float32
            w.put(f"ddim/{prediction}", f"step{i}", x, SMALL)


def main() -> None:
    sinusoid = embeddings.Timesteps(32, True, 0)(torch.tensor([999]))
    assert sinusoid.dtype == torch.float64, "the timestep embedding is not the exact one"
    for name in sys.argv[1:] or CONFIGS:
        pad = CONFIGS[name]["text_encoder"]["pad_token_id"]
        m = TinyModel(name)
        w = Writer(name)
        w.out |= {"script": "scripts/reference/models.py", "name": name, "config": CONFIGS[name]}
        text_section(w, m, pad)
        unet_section(w, m, "unet", 16, 8, SMALL)
        # 12 is not a multiple of 8: the upsamplers have to resize to the skip tensor's size.
        unet_section(w, m, "unetOddWidth", 16, 12, TINY)
        vae_section(w, m)
        if name == "tinySd1":
            ddim_section(w, m)
            variants = [("epsilon", "epsilon", None, 1), ("minSnr5", "epsilon", 5.0, 1), ("accumulate2", "epsilon", None, 2)]
        else:
            variants = [("velocityMinSnr5", "velocity", 5.0, 1)]
        lora_section(w, m, pad, variants)
        write_json(FIXTURES / "models" / f"{name}.json", w.out)


if __name__ == "__main__":
    main()
