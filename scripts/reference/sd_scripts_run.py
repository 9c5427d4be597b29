"""What sd-scripts draws while it trains, by the library's rules in place of its own, and what is noted of its training."""

import contextlib
import types
from pathlib import Path
from unittest import mock

import accelerate
import numpy as np
import torch

from digest import significant
from noise import Draws
from oracle_data import REDUCTION, Data
from oracle_training import dropout_mask, first_value, sizes_of
from philox import Stream, stream_of, words
from tiny_models import TinyModel


class Run:
    """`passes` and `steps` are as in oracle.py, `before` the first values of a network."""

    def __init__(self, case):
        self.case, self.data = case, Data(case)
        self.later = case.get("reference") == "v0.9.1"
        self.epoch = self.batch = self.number = self.octave = 0
        self.flips, self.queue, self.losses, self.purposes, self.strengths = [], [], [], [], []
        self.before, self.passes, self.steps = {}, [], []
        self.module = self.ratios = None
        # Of the gradient of the whole table of words, where only the last rows of it learn.
        self.rows = None

    # The order of batches, and which pictures are mirrored.

    def begin_epoch(self, sampler):
        """In place of RandomSampler.__iter__: fills the buckets of the reference so that its batches are those of the library."""
        group = sampler.data_source
        (dataset,) = group.datasets
        manager = dataset.bucket_manager
        self.epoch, self.batch = self.epoch + 1, 0
        self.queue = self.data.epoch(self.epoch)
        names = {Path(key).stem: key for key in dataset.image_data}
        order, filled = [None] * len(self.queue), {}
        # A bucket's short batch is its last.
        for at in sorted(range(len(self.queue)), key=lambda at: -len(self.queue[at])):
            bucket = manager.reso_to_id[tuple(self.queue[at][0][0]["size"])]
            keys = filled.setdefault(bucket, [])
            order[at] = (bucket, len(keys) // self.case["batchSize"])
            keys += [names[image["name"]] for image, _ in self.queue[at]]
        for bucket, keys in filled.items():
            assert sorted(manager.buckets[bucket]) == sorted(keys)
            manager.buckets[bucket][:] = keys
        index = {(each.bucket_index, each.batch_index): i for i, each in enumerate(dataset.buckets_indices)}
        assert sorted(index) == sorted(order)
        self.flips = [mirrored for batch in self.queue for image, mirrored in batch if image["flips"]]
        return iter([index[place] for place in order])

    def coin(self):
        return 0.75 if self.flips.pop(0) != self.later else 0.25

    # Latents, noise and timesteps.

    @property
    def draws(self):
        return Draws(self.case["seed"], {"epoch": self.epoch, "batch": self.batch})

    def noise(self, like, **_):
        """In place of torch.randn_like: the noise of a batch, then what is added to it for the model alone."""
        n, c, h, w = like.shape
        if not self.purposes:
            self.octave, self.ratios = 0, self.draws.stream("octaves")
            self.purposes, self.strengths = ["noise", "ip noise"], self.random_strengths()
        return self.draws.noise(self.purposes.pop(0), [n, h, w, c]).float().contiguous()

    def random_strengths(self):
        options = self.case["config"].get("noise", {})
        names = {"noise offset": "noiseOffsetRandomStrength", "ip noise": "ipNoiseGammaRandomStrength"}
        return [self.draws.share(purpose, True) for purpose, name in names.items() if options.get(name)]

    def normals(self, *shape, **options):
        """In place of torch.randn: of the VAE's posterior, of an octave, of an offset for whole channels."""
        if "layout" in options:
            (n, _, h, w), draws = shape[0], Draws(self.case["seed"], {"epoch": self.epoch, "batch": self.batch + 1})
            values = np.stack([draws.normals("posterior", slot, (h, w, 4)) for slot in range(n)])
            return torch.from_numpy(values).permute(0, 3, 1, 2).contiguous()
        if len(shape) == 4:
            n, c, h, w = shape
            self.octave += 1
            return self.draws.noise(f"octave {self.octave - 1}", [n, h, w, c]).float().contiguous()
        assert len(shape[0]) == 4 and tuple(shape[0][2:]) == (1, 1), shape
        return torch.from_numpy(self.draws.normals("offset", "batch", tuple(shape[0])))

    def timesteps(self, low, high, shape, **_):
        drawn = self.draws.timesteps(shape[0], {"minTimestep": low, "maxTimestep": high})
        names = [image["name"] + ("~" if mirrored else "") for image, mirrored in self.queue[self.batch]]
        self.passes.append({"epoch": self.epoch, "pictures": names, "timesteps": drawn})
        return torch.tensor(drawn)

    # First values and what is left out of a network by chance.

    def create_of(self, usual):
        def create(*arguments, **options):
            network = usual(*arguments, **options)
            for module in [*network.text_encoder_loras, *network.unet_loras]:
                self.begin_with(module)
            return network

        return create

    def begin_with(self, module):
        seed, name = self.case["seed"], module.lora_name
        with torch.no_grad():
            if hasattr(module, "lora_A"):
                stacked = torch.cat(list(module.lora_A))
                stacked = first_value(seed, f"{name}.lora_down.weight", list(stacked.shape))
                for at, row in enumerate(module.lora_A):
                    row.copy_(stacked[at : at + 1])
            else:
                for part in ("lora_down", "lora_up"):
                    weight = getattr(module, part).weight
                    weight.copy_(first_value(seed, f"{name}.{part}.weight", list(weight.shape)))
        self.before |= {f"{name}.{key}": value.double().clone() for key, value in module_values(module).items()}

    def dropout(self, h, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return h
        assert self.module is not None and not inplace
        return h * dropout_mask(self.case["seed"], self.module, self.number, p, h)

    def uniforms(self, *shape, **options):
        """In place of torch.rand: how strong noise is, whether a module is left out, and which of its ranks."""
        if shape == (1,) and "device" in options:
            return torch.tensor([self.strengths.pop(0)])
        if shape == (1,):
            return torch.tensor([Stream(self.case["seed"], f"{self.module}.module_dropout", self.number).uniform()])
        ((n, rank),) = shape
        stream = stream_of(f"{self.module}.rank_dropout") ^ (self.number << 20)
        return torch.from_numpy((words(self.case["seed"], stream, n * rank) >> 8).astype(np.float32).reshape(n, rank)) / 2**24

    def rank(self, low, high):
        """In place of random.randint: any rank of the unit that learns in this pass."""
        unit = int(dict(word.split("=") for word in self.case["networkArguments"])["unit"])
        return low + unit * Stream(self.case["seed"], f"{self.module}.rank", self.number).below((high - low + 1) // unit)

    def forward_of(self, usual):
        def forward(module, x):
            self.module = module.lora_name
            return usual(module, x)

        return forward

    # What happens.

    def backward_of(self, usual):
        def backward(accelerator, loss, **options):
            self.losses.append(float(loss.detach()))
            if accelerator.sync_gradients:
                self.steps.append({"loss": significant(sum(self.losses) / len(self.losses))})
                self.losses = []
            usual(accelerator, loss, **options)
            self.batch, self.number, self.purposes = self.batch + 1, self.number + 1, []

        return backward

    def clip_of(self, usual):
        def clip(accelerator, parameters, most, **options):
            parameters = list(parameters)
            norm = usual(accelerator, parameters, most, **options)
            if self.rows is not None:
                assert norm < most
                norm = parameters[0].grad[-self.rows :].norm()
            rates = [group["lr"] for group in accelerator._optimizers[-1].param_groups]
            self.steps[-1] |= {"gradientNorm": significant(float(norm)), "rates": rates}
            return norm

        return clip

    # What the reference makes for packages of its days.

    def prepare_accelerator(self, args):
        """As its own, of which accelerate has changed the arguments since."""
        made = accelerate.Accelerator(gradient_accumulation_steps=args.gradient_accumulation_steps, mixed_precision=args.mixed_precision)
        return made if self.later else (made, made.unwrap_model)

    def unet(self, *_):
        """In place of the U-Net of later versions, which has the size of the published models: that of diffusers."""
        return TinyModel(self.case["model"], sizes_of(self.case)).unet.float()

    @contextlib.contextmanager
    def __call__(self, train_util, custom, networks):
        """While the block runs, the reference draws what is scripted, and its steps are noted."""
        coins = types.SimpleNamespace(random=self.coin, seed=lambda _: None, shuffle=lambda _: None)
        accelerator = accelerate.Accelerator
        patches = [
            (train_util, "random", coins),
            (train_util, "prepare_accelerator", self.prepare_accelerator),
            (train_util, "transforms", types.SimpleNamespace(Compose=lambda _: pixels_of, ToTensor=list, Normalize=lambda *_: None)),
            (custom, "random", types.SimpleNamespace(random=lambda: self.ratios.uniform())),
            (torch.utils.data.RandomSampler, "__iter__", lambda sampler: self.begin_epoch(sampler)),
            (torch, "randn_like", self.noise),
            (torch, "randn", self.normals),
            (torch, "rand", self.uniforms),
            (torch, "randint", self.timesteps),
            (torch.nn.functional, "dropout", self.dropout),
            (accelerator, "backward", self.backward_of(accelerator.backward)),
            (accelerator, "clip_grad_norm_", self.clip_of(accelerator.clip_grad_norm_)),
        ]
        if self.later:
            patches += [(train_util, "IMAGE_TRANSFORMS", pixels_of), (train_util, "UNet2DConditionModel", self.unet)]
        for module, cls in networks:
            patches += [(cls, "forward", self.forward_of(cls.forward)), (module, "create_network", self.create_of(module.create_network))]
            if hasattr(module, "random"):
                patches.append((module, "random", types.SimpleNamespace(randint=self.rank)))
        with contextlib.ExitStack() as stack:
            for owner, name, value in patches:
                stack.enter_context(mock.patch.object(owner, name, value))
            yield


def module_values(module):
    """What a module trains, in file layout, by the names of the library: of DyLoRA each unit of ranks."""
    if not hasattr(module, "lora_A"):
        return {f"{part}.weight": getattr(module, part).weight.detach() for part in ("lora_down", "lora_up")}
    values = {"lora_down.weight": torch.cat(list(module.lora_A)), "lora_up.weight": torch.cat(list(module.lora_B), dim=1)}
    return units({key: value.detach() for key, value in values.items()}, module.unit)


def units(values, unit):
    """`lora_down` and `lora_up` of DyLoRA by units, each with its ranks first."""
    sides = {"A": values["lora_down.weight"], "B": values["lora_up.weight"].transpose(0, 1)}
    count = len(sides["A"]) // unit
    return {f"lora_{side}.{i}": value[i * unit : (i + 1) * unit].contiguous() for i in range(count) for side, value in sides.items()}


def pixels_of(image):
    """As torchvision's ToTensor and Normalize([0.5], [0.5])."""
    return (torch.from_numpy(image).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
