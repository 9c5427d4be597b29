"""The keys of LoRA files in every style, from a model's layers. Used by lora_keys.py and lora_apply.py.

diffusers' own converters make the kohya, PEFT and older diffusers keys; the names of original checkpoints ("LDM") are written here
from the published key map and checked against diffusers' converter back. ComfyUI's are the paths of its model classes.
"""

import re

import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya

RESNET = {"norm1": "in_layers.0", "norm2": "out_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def ldm_path(path: str) -> str:
    """down_blocks.0.attentions.1.x -> input_blocks.2.1.x, for two resnets a level."""
    for i in range(4):
        for j in range(3):
            pairs = [(f"up_blocks.{i}.resnets.{j}.", f"output_blocks.{3 * i + j}.0."), (f"up_blocks.{i}.attentions.{j}.", f"output_blocks.{3 * i + j}.1.")]
            if j < 2:
                pairs += [(f"down_blocks.{i}.resnets.{j}.", f"input_blocks.{3 * i + j + 1}.0."), (f"down_blocks.{i}.attentions.{j}.", f"input_blocks.{3 * i + j + 1}.1.")]
            for ours, theirs in pairs:
                if path.startswith(ours):
                    return theirs + RESNET.get(path[len(ours):], path[len(ours):])
        if path == f"down_blocks.{i}.downsamplers.0.conv":
            return f"input_blocks.{3 * i + 3}.0.op"
        if path == f"up_blocks.{i}.upsamplers.0.conv":
            return f"output_blocks.{3 * i + 2}.{1 if i == 0 else 2}.conv"
    for ours, theirs in [("mid_block.resnets.0.", "middle_block.0."), ("mid_block.resnets.1.", "middle_block.2."), ("mid_block.attentions.0.", "middle_block.1.")]:
        if path.startswith(ours):
            return theirs + RESNET.get(path[len(ours):], path[len(ours):])
    return {"conv_in": "input_blocks.0.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2"}[path]


def layers_of(model, prefix: str, pattern: str) -> list[tuple[str, torch.Size]]:
    """(path, weight shape) of every linear layer and convolution whose path matches."""
    layers = []
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and re.search(pattern, name):
            name = f"{prefix}{name}" if prefix and not name.startswith(prefix) else name
            layers.append((name, module.weight.shape))
    return layers


ATTENTION_ONLY = r"\.attn[12]\.to_|self_attn"
TRANSFORMERS = r"\.attentions\.|self_attn|\.mlp\."
WITH_CONVOLUTIONS = r"\.attentions\.|self_attn|\.mlp\.|\.(conv1|conv2|conv_shortcut|time_emb_proj|conv)$"
EVERYTHING = r"."


def peft_keys(unet, text, pattern: str, rank: int) -> dict[str, list[int]]:
    """What diffusers writes today: unet.<path>.lora_A.weight, without alpha."""
    keys = {}
    for prefix, layers in (("unet.", layers_of(unet, "", pattern)), ("text_encoder.", layers_of(text, "text_model.", pattern))):
        for path, shape in layers:
            out, inner, *kernel = shape
            keys[f"{prefix}{path}.lora_A.weight"] = [rank, inner, *kernel]
            keys[f"{prefix}{path}.lora_B.weight"] = [out, rank, *[1] * len(kernel)]
    return keys


def meta(keys: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in keys.items()}


def shapes(tensors: dict[str, torch.Tensor]) -> dict[str, list[int]]:
    return {key: list(tensor.shape) for key, tensor in tensors.items()}


def kohya_keys(peft: dict[str, list[int]], te: str = "lora_te_") -> dict[str, list[int]]:
    """By diffusers' own converter, which also adds the alphas. It writes lora_te1_, where sd-scripts has lora_te_ for these models."""
    small = {key: torch.zeros(1, 1) for key in peft}
    keys = {}
    for key in convert_state_dict_to_kohya(small):
        keys[key] = []
    by_flat = {re.sub(r"\.lora_([AB])\.weight$", "", key).replace("text_encoder.", "lora_te1_").replace("unet.", "lora_unet_", 1).replace(".", "_"): key for key in peft}
    for key in keys:
        name, _, tail = key.partition(".")
        if tail != "alpha":
            source = re.sub(r"\.lora_[AB]\.weight$", "", by_flat[name])
            keys[key] = peft[f"{source}.lora_{'A' if 'down' in tail else 'B'}.weight"]
    return {key.replace("lora_te1_", te): shape for key, shape in keys.items()}


def kohya_ldm_keys(peft: dict[str, list[int]]) -> dict[str, list[int]]:
    keys = {}
    for key, shape in peft.items():
        path, letter = re.fullmatch(r"(.+)\.lora_([AB])\.weight", key).groups()
        part, _, path = path.partition(".")
        name = f"lora_unet_{ldm_path(path)}" if part == "unet" else f"lora_te_{path}"
        name = name.replace(".", "_")
        keys[f"{name}.lora_{'down' if letter == 'A' else 'up'}.weight"] = shape
        keys[f"{name}.alpha"] = []
    return keys


def check_ldm_paths(unet) -> None:
    """diffusers' reader of original checkpoints must take the name of every parameter back to ours."""
    names = [name for name, _ in unet.named_parameters()]
    original = {}
    for i, name in enumerate(names):
        path, _, tail = name.rpartition(".")
        path = "out.0" if path == "conv_norm_out" else ldm_path(path)
        original[f"model.diffusion_model.{path}.{tail}"] = torch.tensor(i)
    back = convert_ldm_unet_checkpoint(original, {**unet.config, "class_embed_type": None, "addition_embed_type": None})
    assert {name: int(value) for name, value in back.items()} == {name: i for i, name in enumerate(names)}


def diffusers_old_keys(peft: dict[str, list[int]]) -> dict[str, list[int]]:
    """The attention processors of diffusers 0.11 to 0.17: unet....attn1.processor.to_q_lora.down.weight."""
    keys = {}
    for key, shape in peft.items():
        path, letter = re.fullmatch(r"(.+)\.lora_([AB])\.weight", key).groups()
        path = re.sub(r"(attn[12])\.to_(q|k|v|out)(\.0)?$", r"\1.processor.to_\2", path)
        path = re.sub(r"self_attn\.(q|k|v|out)_proj$", r"self_attn.to_\1", path)
        keys[f"{path}_lora.{'down' if letter == 'A' else 'up'}.weight"] = shape
    return keys


def diffusers_linear_keys(peft: dict[str, list[int]]) -> dict[str, list[int]]:
    """By diffusers' converter: ....to_q.lora.down.weight, ....q_proj.lora_linear_layer.down.weight."""
    converted = shapes(convert_state_dict_to_diffusers(meta(peft)))
    unet = {k: s for k, s in converted.items() if k.startswith("unet.") and ".lora." in k}
    text = {k: s for k, s in converted.items() if k.startswith("text_encoder.") and "lora_linear_layer" in k}
    return unet | text


def peft_wrapped_keys(peft: dict[str, list[int]]) -> dict[str, list[int]]:
    """As PEFT's own save_pretrained of a U-Net names them, with the adapter's name kept."""
    return {f"base_model.model.{k.removeprefix('unet.').replace('.weight', '.default.weight')}": s for k, s in peft.items() if k.startswith("unet.")}


def comfyui_keys(peft: dict[str, list[int]], clip: str) -> dict[str, list[int]]:
    """diffusion_model.<LDM path>.lora_down.weight and text_encoders.<clip>.transformer.<path>, with alphas."""
    keys = {}
    for key, shape in peft.items():
        path, letter = re.fullmatch(r"(.+)\.lora_([AB])\.weight", key).groups()
        part, _, path = path.partition(".")
        name = f"diffusion_model.{ldm_path(path)}" if part == "unet" else f"text_encoders.{clip}.transformer.{path}"
        keys[f"{name}.lora_{'down' if letter == 'A' else 'up'}.weight"] = shape
        keys[f"{name}.alpha"] = []
    return keys


def comfyui_peft_keys(peft: dict[str, list[int]], clip: str) -> dict[str, list[int]]:
    """The same paths with PEFT's suffixes and without alpha."""
    named = comfyui_keys(peft, clip)
    return {k.replace("lora_down", "lora_A").replace("lora_up", "lora_B"): s for k, s in named.items() if s}


def flat_projections(keys: dict[str, list[int]]) -> dict[str, list[int]]:
    """1x1 convolutions as matrices: files of both forms exist for one model."""
    return {k: s[:2] if len(s) == 4 and s[2:] == [1, 1] and re.search(r"proj_?(in|out)|proj\.?(in|out)", k) else s for k, s in keys.items()}
