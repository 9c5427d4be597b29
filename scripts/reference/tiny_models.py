"""The tiny Stable Diffusion models of the fixtures: real diffusers/transformers classes, formula weights, float64.

Parameters are named as in the published checkpoints, prefixed 'unet.', 'text_encoder.' or 'vae.'. The text encoder's names
carry 'text_model.' (transformers 5 dropped it from the module tree); the VAE's mid-block attention uses the names to_q, to_k,
to_v, to_out.0 and group_norm with [c, c] matrices (checkpoints of 2022 say query, key, value, proj_attn).
"""

import math

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models import embeddings
from transformers import CLIPTextConfig, CLIPTextModel

from formula import parameter_values


def exact_timestep_embedding(timesteps, embedding_dim, flip_sin_to_cos=False, downscale_freq_shift=1, scale=1, max_period=10000):
    """diffusers computes the angles in float32 whatever the model's dtype; at t = 999 that costs 3e-5."""
    assert flip_sin_to_cos and downscale_freq_shift == 0 and scale == 1
    half = embedding_dim // 2
    angles = timesteps.double()[:, None] * torch.exp(-math.log(max_period) * torch.arange(half, dtype=torch.float64) / half)
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


embeddings.get_timestep_embedding = exact_timestep_embedding

CROSS_DOWN = ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"]
CROSS_UP = ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3


def unet_config(**changes):
    return {
        "in_channels": 4, "out_channels": 4, "block_out_channels": [32, 64, 64, 64], "layers_per_block": 2,
        "down_block_types": CROSS_DOWN, "up_block_types": CROSS_UP, "norm_num_groups": 8, "norm_eps": 1e-5, "act_fn": "silu",
        "cross_attention_dim": 32, "attention_head_dim": 4, "use_linear_projection": False, "upcast_attention": False,
        "flip_sin_to_cos": True, "freq_shift": 0, "center_input_sample": False, "downsample_padding": 1,
        "mid_block_scale_factor": 1, "sample_size": 16, **changes,
    }


def text_config(**changes):
    return {
        "vocab_size": 49408, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "hidden_act": "quick_gelu", "max_position_embeddings": 77, "layer_norm_eps": 1e-5, "attention_dropout": 0.0,
        "bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407, **changes,
    }


VAE = {
    "in_channels": 3, "out_channels": 3, "latent_channels": 4, "block_out_channels": [16, 32, 32, 32], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4, "norm_num_groups": 8,
    "act_fn": "silu", "sample_size": 64, "scaling_factor": 0.18215,
}

CONFIGS = {
    "tinySd1": {"unet": unet_config(), "text_encoder": text_config(), "vae": VAE},
    "tinySd2": {
        "unet": unet_config(cross_attention_dim=48, attention_head_dim=[2, 4, 4, 4], use_linear_projection=True, upcast_attention=True),
        "text_encoder": text_config(hidden_size=48, intermediate_size=96, num_attention_heads=6, hidden_act="gelu", pad_token_id=0),
        "vae": VAE,
    },
}


class TinyModel:
    """text, unet and vae of one configuration, float64, on formula weights."""

    def __init__(self, name: str, config=None):
        config = config or CONFIGS[name]
        self.name = name
        self.text = CLIPTextModel(CLIPTextConfig(**config["text_encoder"], attn_implementation="sdpa")).double().eval()
        self.unet = UNet2DConditionModel(**config["unet"]).double().eval()
        self.vae = AutoencoderKL(**config["vae"]).double().eval()
        for key, parameter in self.parameters().items():
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(parameter_values(key, list(parameter.shape))).double())

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """By checkpoint name."""
        text = {f"text_encoder.{n if n.startswith('text_model.') else 'text_model.' + n}": p for n, p in self.text.named_parameters()}
        unet = {f"unet.{n}": p for n, p in self.unet.named_parameters()}
        vae = {f"vae.{n}": p for n, p in self.vae.named_parameters()}
        return text | unet | vae

    def hidden_states(self, ids):
        """The embeddings and each layer's output, without the final norm."""
        return self.text(input_ids=ids, output_hidden_states=True).hidden_states

    def final_norm(self, x):
        return getattr(self.text, "text_model", self.text).final_layer_norm(x)

    def encode_text(self, ids):
        return self.text(input_ids=ids).last_hidden_state

    def predict(self, latents, timesteps, context):
        """latents [n, h, w, 4] channels last; returns the same layout."""
        return self.unet(latents.permute(0, 3, 1, 2), timesteps, context).sample.permute(0, 2, 3, 1)

    def encode_image(self, image):
        """image [n, h, w, 3] -> moments [n, h/8, w/8, 8] = mean (4), log variance (4), not clamped."""
        return self.vae.quant_conv(self.vae.encoder(image.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)

    def decode_latents(self, latents):
        """latents [n, h, w, 4] -> image [n, 8h, 8w, 3], not clamped. No scaling factor on either side."""
        return self.vae.decoder(self.vae.post_quant_conv(latents.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
