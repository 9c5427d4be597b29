"""One training of oracle.py in PyTorch: what learns (a class for each kind), and the loop of all kinds.

A kind offers `groups` ([(rate, {name: tensor})]), `condition(captions)`, and where it needs them `begin_step(step)` and
`begin_pass(number)`.
"""

import math

import torch
from diffusers.optimization import get_scheduler

from losses import loss_of
from models import attach_lora
from noise import Draws, make_noisy
from oracle_data import SCALING_FACTOR, Captions, Data, encoded_latents, given_latents, masks_of
from philox import stream_of, uniforms, words
from tiny_models import CONFIGS, TinyModel


def sizes_of(case):
    """A tiny model with a U-Net of two levels and a text encoder of two layers; the VAE is the same. What has rows of its own
    for each of the sixteen cross-attention layers needs them all."""
    name = case["model"]
    unet, text = CONFIGS[name]["unet"], CONFIGS[name]["text_encoder"]
    text = {**text, "num_hidden_layers": 2}
    if case["kind"] == XTI:
        return {**CONFIGS[name], "text_encoder": text}
    heads = unet["attention_head_dim"]
    unet = {
        **unet, "block_out_channels": [32, 64], "layers_per_block": 1, "attention_head_dim": heads if isinstance(heads, int) else heads[:2],
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    }
    return {**CONFIGS[name], "unet": unet, "text_encoder": text}


class WholeModel:
    """fine-tune and train-db: every tensor of the U-Net and of the text encoder."""

    def __init__(self, case, model):
        config = case["config"]
        own = config.get("fineTune") or config.get("dreamBooth") or {}
        learns = own.get("trainTextEncoder", case["kind"] == "train-db")
        rate = config["optimizer"]["learningRate"]
        parameters = model.parameters()
        unet = {name: p for name, p in parameters.items() if name.startswith("unet.")}
        text = {name: p for name, p in parameters.items() if name.startswith("text_encoder.") and learns}
        text_rate = own.get("textEncoderLearningRate")
        self.groups = [(rate, unet | text)] if text_rate is None else [(rate, unet), (text_rate, text)]
        self.text, self.learns, self.stop = text, learns, own.get("stopTextEncoderTraining", math.inf)
        self.encode = captions_of(config, model)

    def condition(self, captions):
        with torch.set_grad_enabled(self.learns):
            return self.encode(captions)

    def begin_step(self, step):
        if self.learns and step >= self.stop:
            self.learns = False
            for parameter in self.text.values():
                parameter.requires_grad_(False)


def first_value(seed, name, shape):
    """Of a tensor of a LoRA, float32. The library draws a kernel as [rank, height, width, in]."""
    if name.endswith("lora_up.weight"):
        return torch.zeros(shape)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    drawn = shape if len(shape) == 2 else [shape[0], *shape[2:], shape[1]]
    values = torch.from_numpy(uniforms(seed, stream_of(name), drawn)) * (2 * bound) - bound
    return values if len(shape) == 2 else values.permute(0, 3, 1, 2)


def dropout_mask(seed, name, number, dropout, h):
    """What the library multiplies h by in a pass: h [n, tokens, rank], or [n, rank, height, width] in the order
    [n, height, width, rank]. One element is one word."""
    stream = stream_of(f"{name}.dropout") ^ (number << 20)
    kept = words(seed, stream, h.numel()) >> 8 >= dropout * 2**24
    mask = torch.from_numpy(kept).to(h.dtype) / (1 - dropout)
    if h.dim() != 4:
        return mask.reshape(h.shape)
    n, rank, height, width = h.shape
    return mask.reshape(n, height, width, rank).permute(0, 3, 1, 2)


class Network:
    """train-network: LoRA beside a frozen model. The first values and the masks of dropout follow from the seed."""

    def __init__(self, case, model):
        self.case, self.number = case, 0
        network, optimizer = case["config"]["network"], case["config"]["optimizer"]
        self.dtype = next(model.unet.parameters()).dtype
        self.dropout = network.get("dropout") or 0
        self.learns = network.get("trainTextEncoder", True)
        for parameter in model.parameters().values():
            parameter.requires_grad_(False)
        parts = ("text", "unet") if self.learns else ("unet",)
        weights = attach_lora(model, network["dim"], network["alpha"], self.initial, parts, self.drop)
        rates = {
            "lora_te": optimizer.get("textEncoderLearningRate") or optimizer["learningRate"],
            "lora_unet": optimizer.get("unetLearningRate") or optimizer["learningRate"],
        }
        plus = network.get("loraPlus", {"textEncoder": 1, "unet": 1})
        ratios = {"lora_te": plus["textEncoder"], "lora_unet": plus["unet"]}
        self.groups = []
        for prefix, rate in rates.items():
            part = {name: w for name, w in weights.items() if name.startswith(prefix)}
            plain = {name: w for name, w in part.items() if ratios[prefix] == 1 or not name.endswith("lora_up.weight")}
            faster = {name: w for name, w in part.items() if name not in plain}
            self.groups += [(r, group) for r, group in ((rate, plain), (rate * ratios[prefix], faster)) if group]
        self.encode = captions_of(case["config"], model)

    def initial(self, name, shape):
        return first_value(self.case["seed"], name, shape).to(self.dtype)

    def drop(self, name, h):
        return h * dropout_mask(self.case["seed"], name, self.number, self.dropout, h) if self.dropout else h

    def begin_pass(self, number):
        self.number = number

    def condition(self, captions):
        with torch.set_grad_enabled(self.learns):
            return self.encode(captions)


class Inversion:
    """train-textual-inversion and -xti: rows of one more token, for each cross-attention layer its own in the latter."""

    def __init__(self, case, model):
        config = case["config"]
        settings = config["inversion"]
        self.token, self.count = settings["tokenString"], settings["vectorCount"]
        self.layers, self.contexts = (16 if case["kind"] == XTI else 1), []
        for parameter in model.parameters().values():
            parameter.requires_grad_(False)
        self.encode = captions_of(config, model)
        table = model.text.get_input_embeddings()
        words = self.encode.tokenizer(settings["initWord"], add_special_tokens=False).input_ids
        start = [words[row % self.count % len(words)] for row in range(self.layers * self.count)]
        self.rows = torch.nn.Parameter(table.weight[start].clone())
        table.forward = lambda ids: torch.nn.functional.embedding(ids, torch.cat([table.weight, self.rows]))
        self.groups = [(config["optimizer"]["learningRate"], {"emb_params": self.rows})]
        if self.layers > 1:
            attend_by_layer(model.unet, self.contexts)

    def condition(self, captions):
        self.contexts[:] = [self.encode([c.replace(self.token, " ".join([STAND_IN] * self.count)) for c in captions], self.with_rows(layer))
                            for layer in range(self.layers)]  # fmt: skip
        return self.contexts[0]

    def with_rows(self, layer):
        """The stand-in's ids as those of a layer's rows, in turn."""

        def changed(ids):
            first, seen, out = 49408 + layer * self.count, 0, []
            for i in ids:
                out.append(first + seen % self.count if i == STAND_IN_ID else i)
                seen += i == STAND_IN_ID
            return out

        return changed


def attend_by_layer(unet, contexts):
    """Each cross-attention layer, in forward order, attends to its own of the contexts there are then."""
    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    layers = [layer for block in blocks for layer in getattr(block, "attentions", [])]
    for at, layer in enumerate(layers):
        for block in layer.transformer_blocks:
            block.attn2.register_forward_pre_hook(
                lambda _module, args, kwargs, at=at: (args, {**kwargs, "encoder_hidden_states": contexts[at]}), with_kwargs=True
            )


XTI = "train-textual-inversion-xti"
# A word of one token that no caption has.
STAND_IN, STAND_IN_ID = "sks", 48136
KINDS = {"fine-tune": WholeModel, "train-db": WholeModel, "train-network": Network, "train-textual-inversion": Inversion, XTI: Inversion}


def captions_of(config, model):
    settings = config.get("model", {})
    return Captions(model, settings.get("clipSkip") or 1, settings.get("maxTokenLength") or 75)


class Training:
    """Runs a case. Afterwards `passes` and `steps` say what happened; `before` and `after` hold the weights by name."""

    def __init__(self, case, dtype):
        self.case = case
        self.model = TinyModel(case["model"], sizes_of(case))
        for part in (self.model.text, self.model.unet, self.model.vae):
            part.to(dtype)
        self.dtype, self.data = dtype, Data(case)
        self.kind = KINDS[case["kind"]](case, self.model)
        self.weights = {name: p for _, group in self.kind.groups for name, p in group.items()}
        self.before = self.copies()
        self.passes, self.steps = [], []
        self.run()
        self.after = self.copies()

    def copies(self):
        return {name: p.detach().double().clone() for name, p in self.weights.items()}

    def run(self):
        config = self.case["config"]
        total, options = config["training"]["maxSteps"], config["optimizer"]
        accumulation = config["training"].get("gradientAccumulationSteps", 1)
        optimizer = torch.optim.AdamW(
            [{"params": list(group.values()), "lr": rate} for rate, group in self.kind.groups], **options.get("arguments", {})
        )
        warmup = options.get("warmupSteps", 0)
        schedule = get_scheduler(options["scheduler"], optimizer, num_warmup_steps=warmup, num_training_steps=total)
        epoch, losses = 0, []
        while len(self.steps) < total:
            epoch += 1
            batches = self.data.epoch(epoch)
            for at, batch in enumerate(batches):
                if not losses and hasattr(self.kind, "begin_step"):
                    self.kind.begin_step(len(self.steps))
                loss = self.loss(batch, {"epoch": epoch, "batch": at})
                (loss / accumulation).backward()
                losses.append(float(loss.detach()))
                if len(losses) < accumulation and at < len(batches) - 1:
                    continue
                norm = torch.nn.utils.clip_grad_norm_(list(self.weights.values()), options.get("maxGradNorm", 1))
                self.steps.append({"loss": sum(losses) / len(losses), "gradientNorm": float(norm), "rates": schedule.get_last_lr()})
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                losses = []
                if len(self.steps) == total:
                    return

    def loss(self, batch, key):
        """Forward of one batch."""
        config, seed, prediction = self.case["config"], self.case["seed"], self.case["predictionType"]
        if hasattr(self.kind, "begin_pass"):
            self.kind.begin_pass(len(self.passes))
        given = self.case["latents"] == "given"
        latents = SCALING_FACTOR * (given_latents(batch) if given else encoded_latents(self.model, batch, seed, key))
        noise = config.get("noise", {})
        zero = noise.get("zeroTerminalSnr", False)
        noisy, target, timesteps = make_noisy(latents, noise, prediction, zero, Draws(seed, key))
        names = [image["name"] + ("~" if mirrored else "") for image, mirrored in batch]
        self.passes.append({"epoch": key["epoch"], "pictures": names, "timesteps": timesteps})
        context = self.kind.condition([image["caption"] for image, _ in batch])
        output = self.model.unet(noisy.to(self.dtype), torch.tensor(timesteps), context).sample
        weights = [1.0 if self.case["kind"] == "fine-tune" else image["weight"] for image, _ in batch]
        return loss_of(output, target.to(self.dtype), masks_of(batch), config.get("loss", {}), prediction, zero, timesteps, weights)
