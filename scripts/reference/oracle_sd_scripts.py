"""Writes test/fixtures/oracle/networkBySdScripts.json: the case `network` of oracle.py, trained by kohya-ss/sd-scripts itself.

    PYTHONPATH=slow python oracle_sd_scripts.py CHECKOUT

CHECKOUT is v0.6.6, whose `train_network.py` runs from a command line to the file that it writes, on a CPU, in float32. Nothing of it is
changed but what it draws: the order of the batches, which pictures are mirrored, timesteps, noise, first weights and dropout are
those of the library. Losses, norms and rates are noted where it calls accelerate and PyTorch; final weights are read from its file.
"""

import contextlib
import importlib
import json
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import accelerate
import diffusers
import numpy as np
import torch
from diffusers.models import embeddings
from safetensors.torch import load_file

# tiny_models.py replaces it by an exact one.
usual_embedding = embeddings.get_timestep_embedding

from data_tokens import tokenizers  # noqa: E402
from digest import significant  # noqa: E402
from formula import FIXTURES, formula, write_json  # noqa: E402
from noise import Draws  # noqa: E402
from oracle import CASES, change_of  # noqa: E402
from oracle_data import LATENTS, REDUCTION, Data  # noqa: E402
from oracle_training import dropout_mask, first_value, sizes_of  # noqa: E402
from sd_scripts import StandInFinder  # noqa: E402
from tiny_models import TinyModel  # noqa: E402


def write_model(case, folder):
    """A diffusers folder, float32."""
    model = TinyModel(case["model"], sizes_of(case))
    schedule = diffusers.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    parts = {"vae": model.vae.float(), "text_encoder": model.text.float(), "unet": model.unet.float(), "scheduler": schedule}
    absent = {"tokenizer": None, "safety_checker": None, "feature_extractor": None}
    diffusers.StableDiffusionPipeline(**parts, **absent, requires_safety_checker=False).save_pretrained(folder)


def write_data(case, folder):
    """Latents with metadata, and the configuration of the data set."""
    lines = [f"[[datasets]]\nbatch_size = {case['batchSize']}\nresolution = 64"]
    for number, subset in enumerate(case["subsets"]):
        place = folder / str(number)
        place.mkdir()
        metadata = {}
        for picture in subset["pictures"]:
            width, height = picture["size"]
            metadata[picture["name"]] = {"caption": picture["caption"], "train_resolution": [width, height]}
            for kind, ending in (("latents", ""), ("flipped", "_flip")):
                values = formula(f"oracle/{picture['name']}/{kind}", [4, height // REDUCTION, width // REDUCTION], **LATENTS)
                np.savez(place / f"{picture['name']}{ending}.npz", values)
        (place / "meta.json").write_text(json.dumps(metadata))
        flip = str(subset.get("flip", False)).lower()
        lines.append(f'[[datasets.subsets]]\nimage_dir = "{place}"\nmetadata_file = "{place}/meta.json"')
        lines.append(f"num_repeats = {subset['repeats']}\nflip_aug = {flip}")
    (folder / "data.toml").write_text("\n".join(lines) + "\n")
    return folder / "data.toml"


def command_line(case, model, data, cache, output):
    config = case["config"]
    network, optimizer, training = config["network"], config["optimizer"], config["training"]
    options = {
        "pretrained_model_name_or_path": model, "dataset_config": data, "tokenizer_cache_dir": cache, "output_dir": output,
        "output_name": "reference", "save_precision": "float", "network_module": "networks.lora", "network_dim": network["dim"],
        "network_alpha": network["alpha"], "network_dropout": network["dropout"], "optimizer_type": "AdamW",
        "learning_rate": optimizer["learningRate"], "text_encoder_lr": optimizer["textEncoderLearningRate"],
        "lr_scheduler": optimizer["scheduler"], "lr_warmup_steps": optimizer["warmupSteps"],
        "noise_offset": config["noise"]["noiseOffset"], "min_snr_gamma": config["loss"]["minSnrGamma"],
        "max_train_steps": training["maxSteps"], "seed": training["seed"], "max_data_loader_n_workers": 0,
    }  # fmt: skip
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


class Script:
    """What the reference draws, and what is noted of its training."""

    def __init__(self, case):
        self.case, self.data = case, Data(case)
        self.epoch = self.batch = 0
        self.flips, self.queue = [], []
        self.before, self.passes, self.steps = {}, [], []
        self.module = None

    # The order of batches, and which pictures are mirrored.

    def begin_epoch(self, sampler):
        """In place of RandomSampler.__iter__: fills the buckets of the reference so that its batches are those of the library."""
        group = sampler.data_source
        (dataset,) = group.datasets
        manager = dataset.bucket_manager
        self.epoch, self.batch = self.epoch + 1, 0
        self.queue = self.data.epoch(self.epoch)
        order, filled = [None] * len(self.queue), {}
        # A bucket's short batch is its last.
        for at in sorted(range(len(self.queue)), key=lambda at: -len(self.queue[at])):
            bucket = manager.reso_to_id[tuple(self.queue[at][0][0]["size"])]
            keys = filled.setdefault(bucket, [])
            order[at] = (bucket, len(keys) // self.case["batchSize"])
            keys += [image["name"] for image, _ in self.queue[at]]
        for bucket, keys in filled.items():
            assert sorted(manager.buckets[bucket]) == sorted(keys)
            manager.buckets[bucket][:] = keys
        index = {(each.bucket_index, each.batch_index): i for i, each in enumerate(dataset.buckets_indices)}
        assert sorted(index) == sorted(order)
        self.flips = [mirrored for batch in self.queue for image, mirrored in batch if image["flips"]]
        return iter([index[place] for place in order])

    def coin(self):
        return 0.75 if self.flips.pop(0) else 0.25

    # Noise, timesteps, dropout and first weights.

    @property
    def draws(self):
        return Draws(self.case["seed"], {"epoch": self.epoch, "batch": self.batch})

    def noise(self, like, **_):
        n, c, h, w = like.shape
        return self.draws.noise("noise", [n, h, w, c]).float().contiguous()

    def offset(self, shape, **_):
        assert len(shape) == 4 and tuple(shape[2:]) == (1, 1), shape
        return torch.from_numpy(self.draws.normals("offset", "batch", tuple(shape)))

    def timesteps(self, low, high, shape, **_):
        assert (low, high) == (0, 1000)
        drawn = self.draws.timesteps(shape[0], {})
        names = [image["name"] + ("~" if mirrored else "") for image, mirrored in self.queue[self.batch]]
        self.passes.append({"epoch": self.epoch, "pictures": names, "timesteps": drawn})
        return torch.tensor(drawn)

    def dropout(self, h, p=0.5, training=True, inplace=False):
        if not training:
            return h
        assert self.module is not None and not inplace
        return h * dropout_mask(self.case["seed"], self.module, len(self.steps), p, h)

    def forward_of(self, usual):
        def forward(module, x):
            self.module = module.lora_name
            return usual(module, x)

        return forward

    def create_of(self, usual):
        def create(*arguments, **options):
            network = usual(*arguments, **options)
            for module in [*network.text_encoder_loras, *network.unet_loras]:
                for part in ("lora_down", "lora_up"):
                    name, weight = f"{module.lora_name}.{part}.weight", getattr(module, part).weight
                    with torch.no_grad():
                        weight.copy_(first_value(self.case["seed"], name, list(weight.shape)))
                    self.before[name] = weight.detach().double().clone()
            return network

        return create

    # What happens.

    def backward_of(self, usual):
        def backward(accelerator, loss, **options):
            self.steps.append({"loss": significant(float(loss.detach()))})
            usual(accelerator, loss, **options)
            self.batch += 1

        return backward

    def clip_of(self, usual):
        def clip(accelerator, parameters, most, **options):
            norm = usual(accelerator, parameters, most, **options)
            rates = [group["lr"] for group in accelerator._optimizers[-1].param_groups]
            self.steps[-1] |= {"gradientNorm": significant(float(norm)), "rates": rates}
            return norm

        return clip

    @contextlib.contextmanager
    def __call__(self, train_util, lora):
        """While the block runs, the reference draws what is scripted, and its steps are noted."""
        coins = types.SimpleNamespace(random=self.coin, seed=lambda _: None, shuffle=lambda _: None)
        functional, accelerator = torch.nn.functional, accelerate.Accelerator
        with (
            mock.patch.object(train_util, "random", coins),
            mock.patch.object(train_util, "prepare_accelerator", prepare_accelerator),
            mock.patch.object(torch.utils.data.RandomSampler, "__iter__", lambda sampler: self.begin_epoch(sampler)),
            mock.patch.object(torch, "randn_like", self.noise),
            mock.patch.object(torch, "randn", self.offset),
            mock.patch.object(torch, "randint", self.timesteps),
            mock.patch.object(functional, "dropout", self.dropout),
            mock.patch.object(lora.LoRAModule, "forward", self.forward_of(lora.LoRAModule.forward)),
            mock.patch.object(lora, "create_network", self.create_of(lora.create_network)),
            mock.patch.object(accelerator, "backward", self.backward_of(accelerator.backward)),
            mock.patch.object(accelerator, "clip_grad_norm_", self.clip_of(accelerator.clip_grad_norm_)),
        ):
            yield


def prepare_accelerator(args):
    """As the reference's own, which accelerate has changed under: it tries an argument that is no longer there."""
    made = accelerate.Accelerator(gradient_accumulation_steps=args.gradient_accumulation_steps, mixed_precision=args.mixed_precision)
    return made, made.unwrap_model


def load(checkout):
    """The modules of the checkout. diffusers has moved one since; stand-ins take the place of what only pictures need."""
    sys.meta_path.insert(0, StandInFinder(["torchvision", "library.lpw_stable_diffusion"]))
    diffusers.models.unet_2d_condition = importlib.import_module("diffusers.models.unets.unet_2d_condition")
    sys.path.insert(0, str(checkout))
    modules = [importlib.import_module(name) for name in ("train_network", "library.train_util", "networks.lora")]
    # Attention layers, which are within the other, had another name in the diffusers of those days, so that this list did not find them.
    modules[2].LoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
    assert all(Path(module.__file__).is_relative_to(checkout) for module in modules)
    return modules


def main(checkout):
    case = CASES["network"]
    train_network, train_util, lora = load(checkout)
    script = Script(case)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(case, folder / "model")
        tokenizers()["sd1"].save_pretrained(folder / "cache" / train_util.TOKENIZER_PATH.replace("/", "_"))
        arguments = command_line(case, folder / "model", write_data(case, folder), folder / "cache", folder / "output")
        # Here diffusers computes as it does for everyone.
        embeddings.get_timestep_embedding = usual_embedding
        with script(train_util, lora):
            train_network.train(train_network.setup_parser().parse_args(arguments))
        after = {key: value.double() for key, value in load_file(folder / "output" / "reference.safetensors").items()}
    changes = {key: change_of(key, before, after[key]) for key, before in script.before.items()}
    assert sorted(after) == sorted([*changes, *{key.split(".")[0] + ".alpha" for key in changes}])
    out = {"script": "scripts/reference/oracle_sd_scripts.py", "reference": "sd-scripts v0.6.6", "case": case}
    out |= {"passes": script.passes, "steps": script.steps, "changes": changes}
    write_json(FIXTURES / "oracle" / "networkBySdScripts.json", out)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main(Path(sys.argv[1]).resolve())
