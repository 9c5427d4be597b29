"""Opens single-file checkpoints of the tiny models, written by this library, the way Python tools do. Writes nothing.

    python check_ldm.py FOLDER     # tinySd1.safetensors, tinySd1.ckpt, tinySd2.safetensors, tinySd2.ckpt of formula weights

Each file goes through torch.load(weights_only=True) or safetensors, then through the conversion functions of diffusers, into
diffusers and transformers modules, strictly. Every parameter must be the formula's, bit for bit, and the U-Net's output that of
the models of models.py.
"""

import sys
from pathlib import Path

import torch
from diffusers.loaders import single_file_utils as single_file
from safetensors.torch import load_file

from models import normal
from tiny_models import CONFIGS, TinyModel


def converted(m: TinyModel, state: dict) -> dict:
    text = single_file.convert_ldm_clip_checkpoint(state) if m.name == "tinySd1" else single_file.convert_open_clip_checkpoint(m.text, state)
    layers = CONFIGS[m.name]["text_encoder"]["num_hidden_layers"]
    unused = (f"text_model.encoder.layers.{layers}.", "text_projection", "text_model.embeddings.position_ids", "logit_scale")
    return {
        "unet": single_file.convert_ldm_unet_checkpoint(state, m.unet.config),
        "vae": single_file.convert_ldm_vae_checkpoint(state, m.vae.config),
        "text_encoder": {k: v for k, v in text.items() if not k.startswith(unused)},
    }


def check(path: Path) -> None:
    m = TinyModel(path.stem)
    if path.suffix == ".ckpt":
        outer = torch.load(path, weights_only=True)
        state = outer["state_dict"]
        print(f"  epoch {outer['epoch']}, global_step {outer['global_step']}")
    else:
        state = load_file(path)
    found = {f"{part}.{k}": v for part, tensors in converted(m, state).items() for k, v in tensors.items()}
    wanted = m.parameters()
    assert found.keys() == wanted.keys(), sorted(found.keys() ^ wanted.keys())[:10]
    for key, parameter in wanted.items():
        assert torch.equal(found[key].double(), parameter), key
    latents, context = normal("latents", 1, 16, 8, 4), normal("context", 1, 77, m.unet.config.cross_attention_dim)
    before = m.predict(latents, torch.tensor([17]), context)
    m.unet.load_state_dict({k.removeprefix("unet."): v for k, v in found.items() if k.startswith("unet.")}, strict=True)
    assert torch.equal(m.predict(latents, torch.tensor([17]), context), before)
    print(f"{path.name}: {len(state)} tensors, {len(found)} parameters equal, U-Net output equal")


def main() -> None:
    with torch.no_grad():
        for path in sorted(Path(sys.argv[1]).iterdir()):
            check(path)


if __name__ == "__main__":
    main()
