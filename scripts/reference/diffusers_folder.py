"""Writes test/fixtures/diffusers_folder/: a pipeline far smaller than the tiny models, saved by diffusers in every form.

Each parameter holds the formula values of '<part>.<its name in published files>' (formula.py), so the test needs no second
copy. Text encoder: 64 tokens, which makes it useless with CLIP's vocabulary and small. The forms:

    plain/     what save_pretrained of the pipeline's parts writes: one .safetensors file each (names as transformers 5 has them)
    sharded/   max_shard_size: several .safetensors files and an index
    bin/       the PyTorch form of 2022: .bin files; text_encoder/pytorch_model.bin with 'text_model.' and position_ids,
               the VAE's attention as query, key, value, proj_attn
    binSharded/ .bin files and an index
    fp16/      variant="fp16": the same values in half precision
    fp16Sharded/ several files of the variant and their index
"""

import shutil

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from formula import FIXTURES, parameter_values

FOLDER = FIXTURES / "diffusers_folder"
OLD_VAE_NAMES = [(".to_q.", ".query."), (".to_k.", ".key."), (".to_v.", ".value."), (".to_out.0.", ".proj_attn.")]


def published(name: str) -> str:
    return name if name.startswith("text_model.") else f"text_model.{name}"


def make_parts() -> dict[str, torch.nn.Module]:
    unet = UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=[4, 8], layers_per_block=1, norm_num_groups=2, cross_attention_dim=8,
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"], up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        attention_head_dim=[1, 2], use_linear_projection=True, upcast_attention=True, sample_size=96,
    )
    vae = AutoencoderKL(
        block_out_channels=[4, 8], layers_per_block=1, norm_num_groups=2, sample_size=768,
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
    )
    text = CLIPTextModel(CLIPTextConfig(
        vocab_size=64, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, hidden_act="gelu",
        projection_dim=512, bos_token_id=0, eos_token_id=2, pad_token_id=1,
    ))
    parts = {"unet": unet, "text_encoder": text, "vae": vae}
    for part, model in parts.items():
        for name, parameter in model.named_parameters():
            key = f"{part}.{published(name) if part == 'text_encoder' else name}"
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(parameter_values(key, list(parameter.shape))))
    return parts


def save(form: str, parts, **options) -> None:
    for part, model in parts.items():
        model.save_pretrained(FOLDER / form / part, **options)


def old_text(model) -> dict[str, torch.Tensor]:
    state = {published(name): value for name, value in model.state_dict().items()}
    return {"text_model.embeddings.position_ids": torch.arange(77)[None], **state}


def old_vae(model) -> dict[str, torch.Tensor]:
    state = {}
    for name, value in model.state_dict().items():
        for new, old in OLD_VAE_NAMES:
            name = name.replace(new, old) if ".attentions." in name else name
        state[name] = value
    return state


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    parts = make_parts()
    save("plain", parts)
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        prediction_type="v_prediction",
    )
    scheduler.save_pretrained(FOLDER / "plain" / "scheduler")
    save("sharded", {"unet": parts["unet"]}, max_shard_size="40KB")
    save("sharded", {"text_encoder": parts["text_encoder"]}, max_shard_size="6KB")
    save("binSharded", {"unet": parts["unet"]}, max_shard_size="40KB", safe_serialization=False)
    (FOLDER / "bin" / "text_encoder").mkdir(parents=True)
    (FOLDER / "bin" / "vae").mkdir(parents=True)
    torch.save(old_text(parts["text_encoder"]), FOLDER / "bin" / "text_encoder" / "pytorch_model.bin")
    torch.save(old_vae(parts["vae"]), FOLDER / "bin" / "vae" / "diffusion_pytorch_model.bin")
    half = {part: model.half() for part, model in parts.items()}
    save("fp16", {part: half[part] for part in ("text_encoder", "vae")}, variant="fp16")
    save("fp16Sharded", {"unet": half["unet"]}, variant="fp16", max_shard_size="20KB")
    # The configurations are those of plain/.
    for form in ("sharded", "binSharded", "fp16", "fp16Sharded"):
        for config in (FOLDER / form).glob("*/config.json"):
            config.unlink()
    for path in sorted(FOLDER.rglob("*.*")):
        print(f"{path.relative_to(FOLDER)}: {path.stat().st_size} bytes")
    print(f"{sum(path.stat().st_size for path in FOLDER.rglob('*.*')) / 1024:.0f} KB")


if __name__ == "__main__":
    main()
