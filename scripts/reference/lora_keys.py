"""Writes test/fixtures/lora_keys/<style>.json: all keys and shapes of a LoRA of each style, for the full-size models.

The models are diffusers' and transformers' classes on the meta device: names and shapes, no weights.
"""

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from formula import FIXTURES, write_json
from lora_styles import (
    ATTENTION_ONLY, EVERYTHING, TRANSFORMERS, WITH_CONVOLUTIONS, check_ldm_paths, comfyui_keys, comfyui_peft_keys, diffusers_linear_keys, diffusers_old_keys,
    flat_projections, kohya_keys, kohya_ldm_keys, peft_keys, peft_wrapped_keys,
)
from tiny_models import text_config, unet_config

FULL = {"block_out_channels": [320, 640, 1280, 1280], "norm_num_groups": 32, "sample_size": 64}
CONFIGS = {
    1: (
        unet_config(**FULL, cross_attention_dim=768, attention_head_dim=8),
        text_config(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
    ),
    2: (
        unet_config(**FULL, cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True),
        text_config(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu"),
    ),
}


def main() -> None:
    with torch.device("meta"):
        models = {v: (UNet2DConditionModel(**unet), CLIPTextModel(CLIPTextConfig(**text))) for v, (unet, text) in CONFIGS.items()}
    sd1, sd2 = models[1], models[2]
    check_ldm_paths(sd1[0])
    plain = peft_keys(*sd1, TRANSFORMERS, 8)
    convolutions = peft_keys(*sd1, WITH_CONVOLUTIONS, 16)
    lists = {
        "kohya": (1, "kohya", kohya_keys(plain)),
        "kohyaConv": (1, "kohya", kohya_keys(convolutions, "lora_te1_")),
        "kohyaSd2": (2, "kohya", kohya_keys(peft_keys(*sd2, TRANSFORMERS, 4))),
        "kohyaLdm": (1, "kohyaLdm", kohya_ldm_keys(convolutions)),
        "diffusers": (1, "diffusers", peft_keys(*sd1, EVERYTHING, 4)),
        "diffusersWrapped": (1, "diffusers", peft_wrapped_keys(plain)),
        "diffusersFlat": (1, "diffusers", flat_projections(plain)),
        "diffusersOld": (1, "diffusersOld", diffusers_old_keys(peft_keys(*sd1, ATTENTION_ONLY, 4))),
        "diffusersLinear": (1, "diffusersOld", diffusers_linear_keys(peft_keys(*sd1, ATTENTION_ONLY, 4))),
        "comfyui": (1, "comfyui", comfyui_keys(convolutions, "clip_l")),
        "comfyuiPeft": (1, "comfyui", comfyui_peft_keys(plain, "clip_l")),
        "comfyuiSd2": (2, "comfyui", comfyui_keys(peft_keys(*sd2, TRANSFORMERS, 4), "clip_h")),
    }
    for name, (version, style, keys) in lists.items():
        write_json(FIXTURES / "lora_keys" / f"{name}.json", {"version": version, "style": style, "keys": keys})


if __name__ == "__main__":
    main()
