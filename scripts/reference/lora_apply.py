"""Writes test/fixtures/lora_apply/{tinySd1,tinySd2}.json: what LoRA files of every style do to the tiny models, in float64.

diffusers loads each file (`lora_state_dict`, `load_lora_into_unet`, `load_lora_into_text_encoder`, with PEFT behind them); ComfyUI's
style, which it does not read, is applied by the formula W + alpha / rank up down. Weights are formula values of their keys: down
uniform with bound 1 / sqrt(fan-in), up with 0.1. The inputs are those of models.py.
"""

import json
import math
import re

import torch
from diffusers import StableDiffusionPipeline

from digest import digest
from formula import FIXTURES, formula, write_json
from lora_styles import (
    ATTENTION_ONLY, TRANSFORMERS, WITH_CONVOLUTIONS, comfyui_keys, diffusers_linear_keys, diffusers_old_keys, kohya_keys, kohya_ldm_keys,
    ldm_path, peft_keys,
)
from models import normal, token_rows
from tiny_models import CONFIGS, TinyModel

torch.set_num_threads(2)
ALPHAS = [1.0, 3.0, 4.0]


def tensors_of(keys: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    out = {}
    for i, (key, shape) in enumerate(keys.items()):
        if not shape:
            out[key] = torch.tensor(ALPHAS[i % len(ALPHAS)], dtype=torch.float64)
            continue
        down = re.search(r"down\.weight$|lora_A", key)
        out[key] = torch.from_numpy(formula(key, shape, "uniform", 1 / math.sqrt(math.prod(shape[1:])) if down else 0.1)).double()
    return out


def apply_by_diffusers(m: TinyModel, tensors: dict[str, torch.Tensor], metadata: dict | None) -> None:
    state, alphas = StableDiffusionPipeline.lora_state_dict(dict(tensors), unet_config=m.unet.config)
    StableDiffusionPipeline.load_lora_into_unet(state, network_alphas=alphas, unet=m.unet, adapter_name="x", metadata=metadata)
    if any(key.startswith("text_encoder.") for key in state):
        StableDiffusionPipeline.load_lora_into_text_encoder(
            state, network_alphas=alphas, text_encoder=m.text, prefix="text_encoder", adapter_name="x", metadata=metadata
        )


def apply_by_formula(m: TinyModel, tensors: dict[str, torch.Tensor], clip: str) -> None:
    used = set()
    parts = {"diffusion_model.": (m.unet, ldm_path), f"text_encoders.{clip}.transformer.": (m.text, lambda path: path)}
    for prefix, (model, rename) in parts.items():
        for path, layer in model.named_modules():
            if not isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
                continue
            if model is m.text and not path.startswith("text_model."):
                path = f"text_model.{path}"
            name = prefix + rename(path)
            if f"{name}.lora_down.weight" not in tensors:
                continue
            down, up, alpha = (tensors[f"{name}.{tail}"] for tail in ("lora_down.weight", "lora_up.weight", "alpha"))
            used |= {f"{name}.{tail}" for tail in ("lora_down.weight", "lora_up.weight", "alpha")}
            with torch.no_grad():
                layer.weight += float(alpha) / down.shape[0] * torch.einsum("or,r...->o...", up.flatten(1), down)
    assert used == tensors.keys(), sorted(tensors.keys() - used)[:4]


def outputs(m: TinyModel, name: str):
    ids = torch.tensor(token_rows(CONFIGS[name]["text_encoder"]["pad_token_id"]))
    latents = normal(f"{name}/unet/latents", 2, 16, 8, 4)
    context = normal(f"{name}/unet/context", 2, 77, m.unet.config.cross_attention_dim)
    with torch.no_grad():
        return m.predict(latents, torch.tensor([17, 801]), context), m.encode_text(ids)


def main() -> None:
    for name, clip in (("tinySd1", "clip_l"), ("tinySd2", "clip_h")):
        cases = []
        fresh = TinyModel(name)
        plain_unet, plain_text = outputs(fresh, name)
        models = (fresh.unet, fresh.text)
        transformers = peft_keys(*models, TRANSFORMERS, 3)
        convolutions = peft_keys(*models, WITH_CONVOLUTIONS, 2)
        attention = peft_keys(*models, ATTENTION_ONLY, 4)
        metadata = {"unet.r": 3, "unet.lora_alpha": 2, "unet.alpha_pattern": {"mid_block.attentions.0.proj_in": 5}}
        metadata |= {"text_encoder.r": 3, "text_encoder.lora_alpha": 4}
        for style, keys, extra in [
            ("kohya", kohya_keys(transformers), None),
            ("kohyaConv", kohya_keys(convolutions), None),
            ("kohyaLdm", kohya_ldm_keys(convolutions), None),
            ("diffusers", transformers, None),
            ("diffusersConv", convolutions, None),
            ("diffusersMetadata", transformers, metadata),
            ("diffusersOld", diffusers_old_keys(attention), None),
            ("diffusersLinear", diffusers_linear_keys(attention), None),
            ("comfyui", comfyui_keys(convolutions, clip), None),
        ]:
            m = TinyModel(name)
            tensors = tensors_of(keys)
            if style == "comfyui":
                apply_by_formula(m, tensors, clip)
            elif style == "kohyaLdm":
                # diffusers' renamer of these names is written for SDXL, whose blocks have one digit: by the formula.
                ours = comfyui_keys(convolutions, clip)  # the same modules in the same order
                apply_by_formula(m, dict(zip(ours, tensors.values(), strict=True)), clip)
            else:
                apply_by_diffusers(m, tensors, None if extra is None else full_metadata(extra, keys))
            unet, text = outputs(m, name)
            change = [float((a - b).square().mean().sqrt() / b.square().mean().sqrt()) for a, b in ((unet, plain_unet), (text, plain_text))]
            print(name, style, len(keys), "relative change", change)
            assert all(0.003 < c < 3 for c in change), change
            id = f"{name}/lora/{style}"
            cases.append({
                "model": name, "style": style, "keys": keys, "alphas": {k: float(t) for k, t in tensors.items() if not t.shape},
                "metadata": {} if extra is None else {"lora_adapter_metadata": json.dumps(full_metadata(extra, keys))},
                "change": change, "sample": digest(f"{id}/sample", unet), "lastHidden": digest(f"{id}/lastHidden", text),
            })
        write_json(FIXTURES / "lora_apply" / f"{name}.json", {"script": "scripts/reference/lora_apply.py", "cases": cases})


def full_metadata(extra: dict, keys) -> dict:
    targets = {}
    for part in ("unet", "text_encoder"):
        paths = {re.sub(r"\.lora_[AB]\.weight$", "", k).partition(".")[2] for k in keys if k.startswith(f"{part}.")}
        targets[f"{part}.target_modules"] = sorted(p.removeprefix("text_model.") for p in paths)
    return extra | targets


if __name__ == "__main__":
    main()
