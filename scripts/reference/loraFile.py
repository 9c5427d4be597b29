"""Writes test/fixtures/loraFile/: LoRA files as kohya's format demands them, and how Python prints their metadata.

The values below are repeated in test/networks/loraFileFacts.ts. Needs: safetensors, torch (CPU).
Run from the repository root: python scripts/reference/loraFile.py
"""

import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save, save_file

FOLDER = Path("test/fixtures/loraFile")


def weight(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Values that both sides can compute: multiples of 1/64, some of which bfloat16 has to round."""
    count = 1
    for size in shape:
        count *= size
    index = torch.arange(count, dtype=torch.int64)
    return (((index * 7919 + seed * 104729) % 4093 - 2046).to(torch.float32) / 64).reshape(shape)


def network(in_width: int, out_width: int, rank: int, alpha: torch.Tensor, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    tensors = {}
    modules = {
        "lora_unet_mid_block_attentions_0_proj_in": ((rank, in_width, 1, 1), (out_width, rank, 1, 1)),
        "lora_te_text_model_encoder_layers_10_self_attn_q_proj": ((rank, in_width), (out_width, rank)),
        "lora_te_text_model_encoder_layers_9_mlp_fc1": ((rank, in_width), (out_width, rank)),
        "lora_unet_down_blocks_0_resnets_0_conv1": ((rank, in_width, 3, 3), (out_width, rank, 1, 1)),
    }
    for seed, (name, (down, up)) in enumerate(modules.items()):
        tensors[f"{name}.lora_down.weight"] = weight(down, 2 * seed)
        tensors[f"{name}.lora_up.weight"] = weight(up, 2 * seed + 1)
        tensors[f"{name}.alpha"] = alpha.clone()
    return {name: tensor if dtype is None else tensor.to(dtype) for name, tensor in tensors.items()}


def short_hash(data: bytes) -> str:
    return hashlib.sha256(data[0x100000 : 0x100000 + 0x10000]).hexdigest()[:8]


def hashes(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> dict[str, str]:
    ours = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    data = save(tensors, ours)
    body = data[8 + int.from_bytes(data[:8], "little") :]
    return {"sshs_model_hash": hashlib.sha256(body).hexdigest(), "sshs_legacy_hash": short_hash(data)}


def unique_folders(folders: list[tuple[str, int, int]]) -> dict:
    result = {}
    for name, repeats, images in folders:
        unique, i = name, 2
        while unique in result:
            unique, i = f"{name} ({i})", i + 1
        result[unique] = {"n_repeats": repeats, "img_count": images}
    return result


COMMON = {
    "ss_session_id": 4294967296,
    "ss_training_started_at": 1690000000.125,
    "ss_training_finished_at": 1690000900.0,
    "ss_output_name": "grüner frosch",
    "ss_learning_rate": 1e-05,
    "ss_text_encoder_lr": 5e-05,
    "ss_unet_lr": 0.0001,
    "ss_num_train_images": 240,
    "ss_num_reg_images": 20,
    "ss_num_batches_per_epoch": 60,
    "ss_num_epochs": 10,
    "ss_gradient_checkpointing": True,
    "ss_gradient_accumulation_steps": 2,
    "ss_max_train_steps": 300,
    "ss_lr_warmup_steps": 30,
    "ss_lr_scheduler": "cosine",
    "ss_network_module": "networks.lora",
    "ss_network_dim": 2,
    "ss_network_alpha": 0.5,
    "ss_network_dropout": None,
    "ss_mixed_precision": "bf16",
    "ss_full_fp16": False,
    "ss_v2": False,
    "ss_clip_skip": None,
    "ss_max_token_length": 225,
    "ss_cache_latents": True,
    "ss_seed": 42,
    "ss_lowram": False,
    "ss_noise_offset": 0.05,
    "ss_multires_noise_iterations": None,
    "ss_multires_noise_discount": 0.3,
    "ss_adaptive_noise_scale": None,
    "ss_training_comment": None,
    "ss_sd_scripts_commit_hash": "(unknown)",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.01,betas=(0.9, 0.99))",
    "ss_max_grad_norm": 1.0,
    "ss_caption_dropout_rate": 0.0,
    "ss_caption_dropout_every_n_epochs": 0,
    "ss_caption_tag_dropout_rate": 0.1,
    "ss_face_crop_aug_range": (1.0, 2.5),
    "ss_prior_loss_weight": 1.0,
    "ss_min_snr_gamma": 5.0,
    "ss_scale_weight_norms": None,
    "ss_network_args": json.dumps({"conv_dim": "4", "conv_alpha": "1"}),
    "ss_sd_model_name": "v1-5-pruned.safetensors",
    "ss_sd_model_hash": "cc6cb271",
    "ss_new_sd_model_hash": "ab" * 32,
    "ss_vae_name": "some/vae-on-a-hub",
    "ss_steps": 300,
    "ss_epoch": 10,
}

BUCKETS = {"buckets": {"3": {"resolution": [448, 576], "count": 120}, "11": {"resolution": [512, 512], "count": 120}}, "mean_img_ar_error": 0.0125}
TAGS_A = {"frogs": {"frog": 12, "10": 2, "9": 1, "grün": 1}}
TAGS_B = {"frogs": {"ignored": 1}, "meta.json": {"sky": 3}}


def config_metadata() -> dict:
    subset = {"img_count": 12, "num_repeats": 10, "color_aug": False, "flip_aug": True, "random_crop": False, "shuffle_caption": True, "keep_tokens": 1}
    first = {
        "is_dreambooth": True, "batch_size_per_device": 4, "num_train_images": 120, "num_reg_images": 20, "resolution": [512, 512],
        "enable_bucket": True, "min_bucket_reso": 256, "max_bucket_reso": 1024, "tag_frequency": TAGS_A, "bucket_info": BUCKETS,
        "subsets": [
            {**subset, "image_dir": "frogs", "class_tokens": "sks frog", "is_reg": False},
            {**subset, "image_dir": "frogs", "class_tokens": None, "is_reg": False},
            {**subset, "image_dir": "reg", "class_tokens": "frog", "is_reg": True},
        ],
    }
    second = {
        "is_dreambooth": False, "batch_size_per_device": 1, "num_train_images": 120, "num_reg_images": 0, "resolution": [768, 512],
        "enable_bucket": False, "min_bucket_reso": None, "max_bucket_reso": None, "tag_frequency": TAGS_B, "bucket_info": None,
        "subsets": [{**subset, "metadata_file": "meta.json"}, {**subset, "image_dir": "pictures", "metadata_file": "meta.json"}],
    }
    return {
        "ss_datasets": json.dumps([first, second]),
        "ss_tag_frequency": json.dumps({"frogs": TAGS_A["frogs"], "meta.json": TAGS_B["meta.json"]}),
        "ss_dataset_dirs": json.dumps(unique_folders([("frogs", 10, 12), ("frogs", 10, 12), ("meta.json", 10, 12), ("meta.json", 10, 12)])),
    }


def command_line_metadata() -> dict:
    return {
        "ss_batch_size_per_device": 4,
        "ss_total_batch_size": 8,
        "ss_resolution": (512, 640),
        "ss_color_aug": False,
        "ss_flip_aug": True,
        "ss_random_crop": False,
        "ss_shuffle_caption": True,
        "ss_enable_bucket": False,
        "ss_bucket_no_upscale": False,
        "ss_min_bucket_reso": None,
        "ss_max_bucket_reso": None,
        "ss_keep_tokens": 1,
        "ss_dataset_dirs": json.dumps({"10_sks frog": {"n_repeats": 10, "img_count": 12}}),
        "ss_reg_dataset_dirs": json.dumps({"1_frog": {"n_repeats": 1, "img_count": 20}}),
        "ss_tag_frequency": json.dumps(TAGS_A),
        "ss_bucket_info": json.dumps(None),
    }


def text(values: dict) -> dict[str, str]:
    return {key: str(value) for key, value in values.items()}


def write(name: str, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    save_file(tensors, FOLDER / f"{name}.safetensors", metadata={**metadata, **hashes(tensors, metadata)})


FOLDER.mkdir(parents=True, exist_ok=True)
half = torch.tensor(0.5)
write("config", network(5, 3, 2, half, torch.bfloat16), text({**COMMON, **config_metadata()}))

default = {**COMMON, "ss_network_dim": None, "ss_network_alpha": 1}
del default["ss_network_args"]
write("commandLine", network(5, 3, 4, torch.tensor(1), None), text({**default, **command_line_metadata()}))

minimal = {key: COMMON[key] for key in ("ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args")}
write("minimal", network(5, 3, 2, half, torch.float16), text(minimal))

# A network of more than 1 MiB, where the short hash covers weights: only its hashes are kept.
large = network(900, 700, 24, half, None)
floats = [0.0, -0.0, 1.0, -1.0, 100.0, 1e-05, 0.0001, 0.00012345, 2e-06, 1.5e-07, 123456789.125, 1e15, 1e16, 1.5e16, -2.5e21,
          1e22, 1e100, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1 / 3, float("inf"), float("-inf"), float("nan")]
expected = {
    "script": "scripts/reference/loraFile.py",
    "large": hashes(large, text({**COMMON, **command_line_metadata()})),
    "floats": [{"number": repr(value), "str": str(value), "json": json.dumps(value)} for value in floats],
}
(FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
