"""Checks what `npm run demo` left behind with Python's libraries, and prints the differences. Writes no fixture.

    npm run demo
    python scripts/reference/check_demo_lora.py

Opens out/demo/demo.safetensors with safetensors, compares keys, shapes, types, metadata and hashes with the rules of the format, loads
out/demo/model with diffusers and transformers, applies the LoRA there (by formula, and once more by diffusers' own loader), and
compares the U-Net's and the text encoder's output with that of the built library (ourOutput.mjs), for the same input.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from formula import REPOSITORY
from lora_styles import TRANSFORMERS, kohya_keys, peft_keys

METADATA = """
session_id training_started_at training_finished_at output_name learning_rate text_encoder_lr unet_lr num_train_images num_reg_images
num_batches_per_epoch num_epochs gradient_checkpointing gradient_accumulation_steps max_train_steps lr_warmup_steps lr_scheduler
network_module network_dim network_alpha network_dropout mixed_precision full_fp16 v2 clip_skip max_token_length cache_latents seed
lowram noise_offset multires_noise_iterations multires_noise_discount adaptive_noise_scale training_comment sd_scripts_commit_hash
optimizer max_grad_norm caption_dropout_rate caption_dropout_every_n_epochs caption_tag_dropout_rate face_crop_aug_range
prior_loss_weight min_snr_gamma scale_weight_norms sd_model_name steps epoch datasets tag_frequency dataset_dirs
""".split()


def check_file(path: Path, unet, text) -> dict[str, torch.Tensor]:
    expected = kohya_keys(peft_keys(unet, text, TRANSFORMERS, 8))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    found = {key: list(tensor.shape) for key, tensor in tensors.items()}
    assert found == expected, sorted(found.items() ^ expected.items())[:4]
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert all(float(tensor) == 8 for key, tensor in tensors.items() if key.endswith(".alpha"))
    missing = {f"ss_{key}" for key in METADATA} - metadata.keys()
    assert not missing, missing
    for key in ("ss_datasets", "ss_tag_frequency", "ss_dataset_dirs"):
        json.loads(metadata[key])
    data = path.read_bytes()
    body = data[8 + int.from_bytes(data[:8], "little"):]
    assert metadata["sshs_model_hash"] == hashlib.sha256(body).hexdigest()
    print(f"{path.name}: {len(tensors)} tensors, keys, shapes and types as expected; {len(metadata)} metadata texts; the hash agrees")
    return tensors


def apply_by_formula(model, prefix: str, tensors: dict[str, torch.Tensor], path_prefix: str = "") -> int:
    count = 0
    for path, layer in model.named_modules():
        if path_prefix and not path.startswith(path_prefix):
            path = path_prefix + path
        name = f"{prefix}.{path}".replace(".", "_")
        if f"{name}.lora_down.weight" not in tensors:
            continue
        down, up = (tensors[f"{name}.lora_{side}.weight"].double() for side in ("down", "up"))
        delta = float(tensors[f"{name}.alpha"]) / down.shape[0] * up.flatten(1) @ down.flatten(1)
        with torch.no_grad():
            layer.weight += delta.reshape(layer.weight.shape)
        count += 1
    return count


def load(folder: Path):
    unet, unet_info = UNet2DConditionModel.from_pretrained(folder / "unet", output_loading_info=True)
    text, text_info = CLIPTextModel.from_pretrained(folder / "text_encoder", output_loading_info=True)
    for info in (unet_info, text_info):
        assert not info["missing_keys"] and not info["unexpected_keys"], info
    return unet.double().eval(), text.double().eval()


def outputs(unet, text, inputs) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        latents = inputs["latents"].double().permute(0, 3, 1, 2)
        sample = unet(latents, inputs["timesteps"], inputs["context"].double()).sample.permute(0, 2, 3, 1)
        return {"sample": sample, "lastHidden": text(input_ids=inputs["ids"].long()).last_hidden_state}


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).square().mean().sqrt() / b.double().square().mean().sqrt())


def main() -> None:
    demo = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "out" / "demo"
    lora = demo / "demo.safetensors"
    unet, text = load(demo / "model")
    tensors = check_file(lora, unet, text)
    generator = torch.Generator().manual_seed(7)
    width = unet.config.cross_attention_dim
    ids = torch.randint(0, 49406, (2, 77), generator=generator)
    ids[:, 0], ids[:, -1] = 49406, 49407
    inputs = {
        "latents": torch.randn(2, 8, 8, 4, generator=generator), "timesteps": torch.tensor([17.0, 801.0]),
        "context": torch.randn(2, 77, width, generator=generator), "ids": ids.float(),
    }
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "in.safetensors", Path(folder) / "out.safetensors"
        save_file(inputs, before)
        script = REPOSITORY / "scripts" / "reference" / "ourOutput.mjs"
        subprocess.run(["node", script, demo / "model", lora, before, after], check=True)
        ours = load_file(after)
    plain = outputs(unet, text, inputs)
    theirs_unet, theirs_text = load(demo / "model")
    state, alphas = StableDiffusionPipeline.lora_state_dict(dict(tensors), unet_config=theirs_unet.config)
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, theirs_unet, adapter_name="demo")
    StableDiffusionPipeline.load_lora_into_text_encoder(state, alphas, theirs_text, prefix="text_encoder", adapter_name="demo")
    by_loader = outputs(theirs_unet, theirs_text, inputs)
    count = apply_by_formula(unet, "lora_unet", tensors) + apply_by_formula(text, "lora_te", tensors, "text_model.")
    assert 3 * count == len(tensors)
    by_formula = outputs(unet, text, inputs)
    worst = 0.0
    for name in plain:
        errors = {
            "ours without the LoRA, against PyTorch": relative(ours[f"plain.{name}"], plain[name]),
            "ours with it, against the formula in PyTorch": relative(ours[name], by_formula[name]),
            "ours with it, against diffusers' loader": relative(ours[name], by_loader[name]),
        }
        worst = max(worst, *errors.values())
        change = relative(by_formula[name], plain[name])
        assert change > 1e-3, f"the LoRA changes {name} by {change:.1e} only"
        print(f"{name}: the LoRA changes it by {change:.3f} (relative rms)")
        for what, error in errors.items():
            print(f"  {what}: {error:.1e}")
    assert worst < 2e-5, worst


if __name__ == "__main__":
    main()
