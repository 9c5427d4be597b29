"""Loads, converts or saves a checkpoint once with safetensors, diffusers and transformers; `npm run bench -- checkpoints` calls it.

usage: checkpoints.py load|convert|save SOURCE TARGET
"""

import json
import os
import resource
import sys
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

task, source, target = sys.argv[1:]
UNET = {"cross_attention_dim": 768, "attention_head_dim": 8}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
TEXT = CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)


def load():
    state = load_file(source)
    with torch.device("meta"):
        unet, vae, text = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE), CLIPTextModel(TEXT)
    unet.load_state_dict(convert_ldm_unet_checkpoint(dict(state), config=unet.config), assign=True)
    vae.load_state_dict(convert_ldm_vae_checkpoint(dict(state), config=vae.config), assign=True)
    prefix = "cond_stage_model.transformer."
    words = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    names = set(text.state_dict())
    if not names & set(words):  # transformers 5 leaves the outer module's name out
        words = {key.removeprefix("text_model."): value for key, value in words.items()}
    text.load_state_dict({key: value for key, value in words.items() if key in names}, assign=True)
    # load_file maps the file: only touched pages are read, and a model in use has touched them all.
    for model in (unet, vae, text):
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    return {"unet": unet, "vae": vae, "text_encoder": text}


def convert():
    for name, model in load().items():
        model.half().save_pretrained(os.path.join(target, name), safe_serialization=True)


state = load_file(source) if task == "save" else None
if state is not None:
    state = {key: value.clone() for key, value in state.items()}
started = time.perf_counter()
if task == "load":
    load()
elif task == "convert":
    convert()
else:
    save_file(state, target)
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
