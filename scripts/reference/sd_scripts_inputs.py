"""What oracle_sd_scripts.py gives to sd-scripts: a model, data, and a command line."""

import json

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from data_tokens import tokenizers
from formula import formula
from oracle_data import LATENTS, REDUCTION
from oracle_training import XTI, sizes_of
from tiny_models import TinyModel

SCRIPTS = {
    "train-network": "train_network", "fine-tune": "fine_tune", "train-db": "train_db",
    "train-textual-inversion": "train_textual_inversion", XTI: "train_textual_inversion_XTI",
}  # fmt: skip
SAVED_AS = {"train-network": "safetensors", "fine-tune": "diffusers_safetensors", "train-db": "diffusers_safetensors"}

# Options by their place in a configuration of the library.
OPTIONS = {
    "model": {"clipSkip": "clip_skip", "maxTokenLength": "max_token_length"},
    "data": {"priorLossWeight": "prior_loss_weight", "weightedCaptions": "weighted_captions"},
    "network": {
        "dim": "network_dim", "alpha": "network_alpha", "dropout": "network_dropout", "scaleWeightNorms": "scale_weight_norms",
        "dimFromWeights": "dim_from_weights", "baseWeightsMultiplier": "base_weights_multiplier",
    },
    "fineTune": {"trainTextEncoder": "train_text_encoder"},
    "dreamBooth": {"stopTextEncoderTraining": "stop_text_encoder_training"},
    "inversion": {"tokenString": "token_string", "vectorCount": "num_vectors_per_token", "initWord": "init_word"},
    "optimizer": {
        "learningRate": "learning_rate", "textEncoderLearningRate": "text_encoder_lr", "unetLearningRate": "unet_lr",
        "scheduler": "lr_scheduler", "warmupSteps": "lr_warmup_steps", "maxGradNorm": "max_grad_norm",
    },
    "noise": {
        "noiseOffset": "noise_offset", "adaptiveNoiseScale": "adaptive_noise_scale",
        "noiseOffsetRandomStrength": "noise_offset_random_strength",
        "ipNoiseGamma": "ip_noise_gamma", "ipNoiseGammaRandomStrength": "ip_noise_gamma_random_strength",
        "minTimestep": "min_timestep", "maxTimestep": "max_timestep", "zeroTerminalSnr": "zero_terminal_snr",
        "multiresNoiseIterations": "multires_noise_iterations", "multiresNoiseDiscount": "multires_noise_discount",
    },
    "loss": {
        "minSnrGamma": "min_snr_gamma", "scaleVPredLossLikeNoisePred": "scale_v_pred_loss_like_noise_pred",
        "vPredLikeLoss": "v_pred_like_loss", "debiasedEstimation": "debiased_estimation_loss",
        "type": "loss_type", "huberSchedule": "huber_schedule", "huberC": "huber_c",
    },
    "training": {
        "maxSteps": "max_train_steps", "seed": "seed", "gradientAccumulationSteps": "gradient_accumulation_steps",
        "gradientCheckpointing": "gradient_checkpointing",
    },
}  # fmt: skip


def write_model(case, folder):
    """A diffusers folder, float32."""
    model = TinyModel(case["model"], sizes_of(case))
    schedule = diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    parts = {"vae": model.vae.float(), "text_encoder": model.text.float(), "unet": model.unet.float(), "scheduler": schedule}
    absent = {"tokenizer": None, "safety_checker": None, "feature_extractor": None}
    diffusers.StableDiffusionPipeline(**parts, **absent, requires_safety_checker=False).save_pretrained(folder)
    # Only for whole models, which are saved with that of the model they came from.
    tokenizer_of(case).save_pretrained(folder / "tokenizer")


def tokenizer_of(case):
    return tokenizers()["sd2" if case["model"] == "tinySd2" else "sd1"]


def write_data(case, folder):
    """Latents with metadata or pictures with captions, and the configuration of the data set."""
    given = case["latents"] == "given"
    size = "64" if given else "[128, 64]\nenable_bucket = true\nmin_bucket_reso = 64\nmax_bucket_reso = 128"
    lines = [f"[[datasets]]\nbatch_size = {case['batchSize']}\nresolution = {size}"]
    for number, subset in enumerate(case["subsets"]):
        place = folder / str(number)
        place.mkdir()
        lines.append(f'[[datasets.subsets]]\nimage_dir = "{place}"')
        if given:
            write_latents(subset, place)
            lines.append(f'metadata_file = "{place}/meta.json"')
        else:
            write_pictures(subset, place)
            lines.append('caption_extension = ".txt"')
            lines += ["is_reg = true"] if subset.get("isReg") else []
        lines.append(f"num_repeats = {subset['repeats']}\nflip_aug = {str(subset.get('flip', False)).lower()}")
    (folder / "data.toml").write_text("\n".join(lines) + "\n")
    return folder / "data.toml"


def write_latents(subset, place):
    metadata = {}
    for picture in subset["pictures"]:
        width, height = picture["size"]
        metadata[picture["name"]] = {"caption": picture["caption"], "train_resolution": [width, height]}
        for kind, ending in (("latents", ""), ("flipped", "_flip")):
            values = formula(f"oracle/{picture['name']}/{kind}", [4, height // REDUCTION, width // REDUCTION], **LATENTS)
            np.savez(place / f"{picture['name']}{ending}.npz", values)
    (place / "meta.json").write_text(json.dumps(metadata))


def write_pictures(subset, place):
    for picture in subset["pictures"]:
        width, height = picture["size"]
        pixels = formula(f"oracle/{picture['name']}/pixels", [height, width, 3], "integer", 256)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{picture['name']}.png")
        (place / f"{picture['name']}.txt").write_text(picture["caption"])


def write_loras(case, folder, lora):
    """Files to begin with, by name: of every module of a LoRA of that rank but those whose name holds `without`. Gives their tensors."""
    model, written = TinyModel(case["model"], sizes_of(case)), {}
    for name, options in case.get("loraFiles", {}).items():
        rank, alpha, conv = options["rank"], options["alpha"], {"conv_dim": options["convRank"], "conv_alpha": options["convAlpha"]}
        lora.LoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
        network = lora.create_network(1.0, rank, alpha, None, model.text.float(), model.unet.float(), **conv)
        tensors = {}
        for module in [*network.text_encoder_loras, *network.unet_loras]:
            if options["without"] in module.lora_name:
                continue
            for part in ("lora_down", "lora_up"):
                key = f"{module.lora_name}.{part}.weight"
                shape = list(getattr(module, part).weight.shape)
                tensors[key] = torch.from_numpy(formula(f"oracle/{name}/{key}", shape, "uniform", 0.1))
            tensors[f"{module.lora_name}.alpha"] = module.alpha.float()
        lora.LoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
        save_file(tensors, folder / f"{name}.safetensors")
        written[name] = tensors
    return written


def command_line(case, model, data, cache, output):
    config = case["config"]
    options = {
        "pretrained_model_name_or_path": model, "dataset_config": data, "tokenizer_cache_dir": cache, "output_dir": output,
        "output_name": "reference", "save_precision": "float", "save_model_as": SAVED_AS.get(case["kind"], "safetensors"),
        "optimizer_type": "AdamW", "max_data_loader_n_workers": 0,
        "v2": case["model"] == "tinySd2", "v_parameterization": case["predictionType"] == "v_prediction",
        **case.get("referenceOptions", {}),
    }  # fmt: skip
    if case["kind"] == "train-network":
        options |= {"network_module": case.get("networkModule", "networks.lora"), "network_args": case.get("networkArguments")}
    for name, option in (("base", "base_weights"), ("start", "network_weights")):
        options |= {option: data.parent / f"{name}.safetensors"} if name in case.get("loraFiles", {}) else {}
    for block, names in OPTIONS.items():
        known = {*names, "arguments"} if block == "optimizer" else set(names)
        assert set(config.get(block, {})) <= known | {"cacheLatents"}, (block, config[block])
        options |= {option: config[block][name] for name, option in names.items() if name in config.get(block, {})}
    assert set(config) <= set(OPTIONS), config.keys()
    options["optimizer_args"] = [f"{name}={value}" for name, value in config["optimizer"].get("arguments", {}).items()]
    words = []
    for name, value in options.items():
        if value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False and value != []:
            words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return words
