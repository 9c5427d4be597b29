"""What a training of oracle.py is fed: pictures in the order of the library's epochs, their latents and their captions.

The order follows from the seed by philox.py; latents are formula values, or what the tiny VAE makes of formula pixels.
"""

import torch

from conditioning import assemble, make_tokenizer, rows_of, sequence_of
from formula import formula
from noise import Draws
from philox import Stream

SCALING_FACTOR = 0.18215
REDUCTION = 8
LATENTS = {"kind": "normal-like", "scale": 5.0}


class Data:
    """The subsets of one data set. Pictures are numbered: those to learn from, then those of regularization."""

    def __init__(self, case):
        self.seed, self.batch_size = case["seed"], case["batchSize"]
        prior = case["config"].get("data", {}).get("priorLossWeight", 1)
        subsets = sorted(case["subsets"], key=lambda subset: subset.get("isReg", False))
        self.images = [
            {
                **picture,
                "repeats": subset["repeats"],
                "reg": subset.get("isReg", False),
                "weight": prior if subset.get("isReg", False) else 1.0,
                "flips": subset.get("flip", False),
                "masked": subset.get("masked", False),
            }
            for subset in subsets
            for picture in subset["pictures"]
        ]
        self.balance()

    def balance(self):
        """Regularization pictures number as many as the others: first with their repeats, then one at a time."""
        regularization = [image for image in self.images if image["reg"]]
        wanted = sum(image["repeats"] for image in self.images if not image["reg"])
        repeats = [image["repeats"] for image in regularization]
        for image in regularization:
            image["repeats"] = 0
        count, turn = 0, 0
        while regularization and count < wanted:
            added = repeats[turn] if turn < len(repeats) else 1
            regularization[turn % len(repeats)]["repeats"] += added
            count, turn = count + added, turn + 1

    def epoch(self, epoch):
        """Batches of (picture, whether mirrored)."""
        batches, first = [], 0
        for bucket, size in enumerate(sorted({tuple(image["size"]) for image in self.images})):
            uses = [image for image in self.images if tuple(image["size"]) == size for _ in range(image["repeats"])]
            items = [(image, self.mirrored(image, epoch, first + at)) for at, image in enumerate(uses)]
            first += len(items)
            Stream(self.seed, "bucket order", epoch, 0, bucket).shuffle(items)
            batches += [items[at : at + self.batch_size] for at in range(0, len(items), self.batch_size)]
        Stream(self.seed, "batch order", epoch).shuffle(batches)
        return batches

    def mirrored(self, image, epoch, position):
        return image["flips"] and Stream(self.seed, "flip", epoch, 0, position).uniform() < 0.5


def given_latents(batch):
    """[n, c, h, w], float64, as files hold them."""
    names = [f"oracle/{image['name']}/{'flipped' if mirrored else 'latents'}" for image, mirrored in batch]
    width, height = (side // REDUCTION for side in batch[0][0]["size"])
    return torch.stack([torch.from_numpy(formula(name, [4, height, width], **LATENTS)) for name in names]).double()


def encoded_latents(model, batch, seed, key):
    """The same of pictures: drawn from the VAE's posterior, in the VAE's type. Batches of the posterior count from 1."""
    draws = Draws(seed, {**key, "batch": key["batch"] + 1})
    width, height = batch[0][0]["size"]
    dtype = next(model.vae.parameters()).dtype
    pixels = [formula(f"oracle/{image['name']}/pixels", [height, width, 3], "integer", 256) for image, _ in batch]
    with torch.no_grad():
        moments = model.encode_image(torch.stack([torch.from_numpy(p) for p in pixels]).to(dtype) / 127.5 - 1)
    mean, log_variance = moments.permute(0, 3, 1, 2).double().chunk(2, dim=1)
    shape = (height // REDUCTION, width // REDUCTION, 4)
    noise = torch.stack([torch.from_numpy(draws.normals("posterior", slot, shape)) for slot in range(len(batch))])
    return mean + (log_variance.clamp(-30, 20) / 2).exp() * noise.double().permute(0, 3, 1, 2)


def masks_of(batch):
    """[n, 1, h, w] of the loss: means of the red of formula pictures; None where no picture of the batch has one."""
    if not any(image["masked"] for image, _ in batch):
        return None
    width, height = batch[0][0]["size"]
    reds = [formula(f"oracle/{image['name']}/mask", [height, width, 3], "integer", 256)[:, :, :1] / 255 for image, _ in batch]
    pixels = [torch.from_numpy(red) if image["masked"] else torch.ones(height, width, 1) for red, (image, _) in zip(reds, batch)]
    return torch.nn.functional.avg_pool2d(torch.stack(pixels).permute(0, 3, 1, 2).double(), REDUCTION)


class Captions:
    """Hidden states of captions, of a layer counted from the end."""

    def __init__(self, model, clip_skip, max_token_length):
        self.model, self.clip_skip, self.length = model, clip_skip, max_token_length + 2
        self.pad = model.text.config.pad_token_id
        self.tokenizer = make_tokenizer("!" if self.pad == 0 else "<|endoftext|>")

    def __call__(self, captions, change=lambda ids: ids):
        """`change` is applied to the ids of each caption."""
        rows = [rows_of(change(sequence_of(self.tokenizer, caption, self.length)), self.pad) for caption in captions]
        states = self.model.hidden_states(torch.tensor(rows).reshape(-1, 77))
        return assemble(self.model.final_norm(states[-self.clip_skip]), len(rows[0]))
