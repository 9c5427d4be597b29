"""Writes test/fixtures/network_modules/{layers,norms,modules}.json: networks of every kind by LyCORIS and sd-scripts themselves, in float64.

    PYTHONPATH=LYCORIS python network_modules.py SD_SCRIPTS_0.6.6

LYCORIS is a folder with the package lycoris-lora 4.1.3, SD_SCRIPTS_0.6.6 a checkout. Nothing of either is copied.

Inputs and outputs are channels last; weights are formula values of `<case>/<key>` in file layout, uniform. `layers` holds, for one module
beside one layer, its tensors' shapes, the change of the layer's weight, the output and all gradients of sum(output * dy). `norms` holds
what limiting the norm leaves of some modules. `modules` holds which modules with which ranks a network has beside the tiny model: their
number, the ranks, and a hash of "name rank alpha" lines.
"""

import hashlib
import importlib
import math
import random
import sys
from pathlib import Path

import torch
from diffusers.models import attention_processor, embeddings

from digest import digest
from formula import FIXTURES, formula, write_json
from tiny_models import TinyModel

attention_processor.Attention.__name__ = "CrossAttention"  # as LyCORIS' presets call it
embeddings.TimestepEmbedding.__name__ = "TimeEmbedding"  # which the preset `full` would take twice, and fail

from lycoris.kohya import create_network  # noqa: E402
from lycoris.modules.locon import LoConModule  # noqa: E402
from lycoris.modules.loha import LohaModule  # noqa: E402
from lycoris.modules.lokr import LokrModule  # noqa: E402

sys.path.insert(0, sys.argv[1])
lora, dylora = (importlib.import_module(f"networks.{name}") for name in ("lora", "dylora"))

torch.set_num_threads(2)
LAYERS = {
    "linear": {"in": 24, "out": 40, "x": [2, 5, 24]},
    "oddLinear": {"in": 7, "out": 13, "x": [3, 7]},
    "conv1x1": {"in": 12, "out": 20, "kernel": 1, "x": [2, 4, 5, 12]},
    "conv3x3": {"in": 6, "out": 10, "kernel": 3, "x": [2, 5, 7, 6]},
    "strided": {"in": 6, "out": 8, "kernel": 3, "stride": 2, "x": [1, 6, 8, 6]},
}
LYCORIS = {
    "locon": (LoConModule, {"lora_dim": 3, "alpha": 2}),
    "loha": (LohaModule, {"lora_dim": 3, "alpha": 2}),
    "lokr": (LokrModule, {"lora_dim": 2, "alpha": 3}),
    "lokrBoth": (LokrModule, {"lora_dim": 1, "alpha": 0.5, "decompose_both": True}),
    "lokrFactor": (LokrModule, {"lora_dim": 2, "alpha": 1, "factor": 2}),
    "lokrWhole": (LokrModule, {"lora_dim": 2, "alpha": 1, "full_matrix": True, "unbalanced_factorization": True}),
}


def values(name: str, shape, scale: float = 0.5) -> torch.Tensor:
    return torch.from_numpy(formula(name, list(shape), "uniform", scale)).double()


def layer_of(name: str) -> torch.nn.Module:
    facts = LAYERS[name]
    if "kernel" in facts:
        layer = torch.nn.Conv2d(facts["in"], facts["out"], facts["kernel"], facts.get("stride", 1), facts["kernel"] // 2)
    else:
        layer = torch.nn.Linear(facts["in"], facts["out"])
    layer = layer.double().requires_grad_(False)
    layer.weight.copy_(values(f"networks/{name}/weight", layer.weight.shape))
    layer.bias.copy_(values(f"networks/{name}/bias", layer.bias.shape))
    return layer


def first(t: torch.Tensor) -> torch.Tensor:
    return t.permute(0, 3, 1, 2) if t.dim() == 4 else t


def last(t: torch.Tensor) -> torch.Tensor:
    return t.permute(0, 2, 3, 1) if t.dim() == 4 else t


def run(id: str, name: str, forward, parameters: dict[str, torch.nn.Parameter]) -> dict:
    x = first(values(f"networks/{name}/x", LAYERS[name]["x"], 1)).requires_grad_(True)
    y = forward(x)
    dy = first(values(f"networks/{name}/dy", last(y).shape, 1))
    grads = torch.autograd.grad(y, [x, *parameters.values()], dy, allow_unused=True)
    out = {"y": digest(f"{id}/y", last(y)), "dx": digest(f"{id}/dx", last(grads[0])), "gradients": {}}
    for key, grad in zip(parameters, grads[1:], strict=True):
        out["gradients"][key] = None if grad is None else digest(f"{id}/{key}", grad)
    return out


def lycoris_case(kind: str, name: str) -> dict:
    cls, options = LYCORIS[kind]
    id = f"networks/{kind}/{name}"
    layer = layer_of(name)
    module = cls("m", layer, 1.0, **options).double()
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for key, parameter in parameters.items():
            parameter.copy_(values(f"{id}/{key}", parameter.shape))
    module.apply_to()
    with torch.no_grad():
        x = first(values("networks/any", LAYERS[name]["x"], 1))
        assert not torch.equal(layer(x), module.org_forward(x))
    state = module.state_dict()
    shapes = {key: list(t.shape) for key, t in state.items()}
    delta = module.get_weight(module.shape) if kind != "locon" else module.make_weight() * module.scale
    case = {"kind": kind, "layer": name, "id": id, "alpha": float(state["alpha"]), "shapes": shapes, "options": options}
    return case | {"delta": digest(f"{id}/delta", delta.detach())} | run(id, name, layer, parameters)


def dylora_case(name: str, start: int) -> dict:
    id = f"networks/dylora/{name}"
    layer = layer_of(name)
    module = dylora.DyLoRAModule("m", layer, 1.0, 4, 3, 2).double()
    down = values(f"{id}/lora_down.weight", [4, *module.lora_A[0].shape[1:]])
    up = values(f"{id}/lora_up.weight", [module.lora_B[0].shape[0], 4, *module.lora_B[0].shape[2:]])
    with torch.no_grad():
        for i in range(4):
            module.lora_A[i].copy_(down[i : i + 1])
            module.lora_B[i].copy_(up[:, i : i + 1])
    module.apply_to()
    random.randint = lambda low, high: start + 1  # rounded down to the unit
    parameters = {f"lora_{side}.{i}": p for side in "AB" for i, p in enumerate(getattr(module, f"lora_{side}"))}
    # Which of them train is decided in the forward pass.
    layer(first(values("networks/any", LAYERS[name]["x"], 1)))
    trained = {key: p for key, p in parameters.items() if p.requires_grad}
    shapes = {"lora_down.weight": list(down.shape), "lora_up.weight": list(up.shape)}
    return {"layer": name, "id": id, "start": start, "alpha": 3, "shapes": shapes} | run(f"{id}/{start}", name, layer, trained)


def norms() -> dict:
    """By apply_max_norm_regularization, and by LyCORIS' modules; the limit lies among the norms."""
    modules, state = [], {}
    for name, layer_name, scale in [("a", "linear", 0.05), ("b", "conv3x3", 0.5), ("c", "conv1x1", 0.4), ("d", "oddLinear", 0.9)]:
        module = lora.LoRAModule(name, layer_of(layer_name), 1.0, 2, 1.5).double()
        with torch.no_grad():
            for key, p in module.named_parameters():
                p.copy_(values(f"norms/{name}/{key}", p.shape, scale))
        for key, t in module.state_dict().items():
            state[f"{name}.{key}"] = t
        modules.append({"name": name, "layer": layer_name, "scale": scale, "alpha": 1.5})
    network = torch.nn.Module()
    network.state_dict = lambda: state
    report = lora.LoRANetwork.apply_max_norm_regularization(network, torch.tensor(1.5, dtype=torch.float64), "cpu")
    after = {key: digest(f"norms/{key}", t) for key, t in state.items() if not key.endswith("alpha")}
    lycoris = []
    for kind in ("loha", "lokr", "lokrBoth"):
        cls, options = LYCORIS[kind]
        module = cls(kind, layer_of("conv3x3"), 1.0, **options).double()
        with torch.no_grad():
            for key, p in module.named_parameters():
                p.copy_(values(f"norms/{kind}/{key}", p.shape, 1.5))
        scaled, norm = module.apply_max_norm(torch.tensor(0.75, dtype=torch.float64))
        assert bool(scaled)
        shapes = {key: list(p.shape) for key, p in module.named_parameters()}
        delta = digest(f"norms/{kind}/delta", (module.get_weight(module.shape) * module.scalar).detach())
        case = {"kind": kind, "layer": "conv3x3", "norm": float(norm), "shapes": shapes, "delta": delta, "after": {}}
        if kind != "loha":  # whose norm LyCORIS limits by a factor that only its files know
            case["after"] = {key: digest(f"norms/{kind}/{key}", p.detach()) for key, p in module.named_parameters()}
        lycoris.append(case)
    return {"maxNorm": 1.5, "modules": modules, "report": [float(x) for x in report], "after": after, "lycoris": lycoris}


class Root(torch.nn.Module):
    """The text encoder under the name that checkpoints give it."""

    def __init__(self, text: torch.nn.Module):
        super().__init__()
        self.text_model = getattr(text, "text_model", text)


def in_order(modules) -> list:
    """The order of diffusers 0.10.2, which registered a transformer's feed-forward before its second attention."""
    out, block, prefix = [], [], None
    for m in [*modules, None]:
        name = m.lora_name if m else ""
        here = name.partition("_transformer_blocks_")[0] if "_transformer_blocks_" in name else None
        if here != prefix:
            out += sorted(block, key=lambda m: [part in m.lora_name for part in ("_attn1_", "_ff_", "_attn2_")].index(True))
            block, prefix = [], here
        if m is None:
            break
        (out if here is None else block).append(m)
    return out


def listing(modules) -> dict:
    modules = in_order(modules)
    lines = [f"{m.lora_name} {m.lora_dim} {float(m.alpha)}" for m in modules]
    ranks: dict[str, int] = {}
    for m in modules:
        ranks[str(m.lora_dim)] = ranks.get(str(m.lora_dim), 0) + 1
    return {"count": len(lines), "ranks": ranks, "first": lines[:1], "hash": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def module_lists() -> dict:
    m = TinyModel("tinySd1")
    text, unet = Root(m.text).float(), m.unet.float()
    counts = ",".join(str(2 + i % 3) for i in range(25))
    alphas = ",".join(str(0.5 + i % 4) for i in range(25))
    lists = []
    for name, dim, alpha, args in [
        ("plain", 4, 1, {}),
        ("convolutions", 4, 2.0, {"conv_dim": "3", "conv_alpha": "0.5"}),
        ("blocks", 4, 2.0, {"block_dims": counts, "block_alphas": alphas}),
        ("blocksOfConvolutions", 4, 2.0, {"block_dims": counts, "conv_block_dims": "0," + counts[2:], "conv_block_alphas": alphas}),
        ("rates", 4, 2.0, {"down_lr_weight": "0,0,1,1,0,1,1,1,1,1,1,1", "mid_lr_weight": "0", "conv_dim": "2"}),
    ]:
        lora.LoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
        network = lora.create_network(1.0, dim, alpha, None, text, unet, **args)
        lists.append({"module": "networks.lora", "name": name, "dim": dim, "alpha": alpha, "args": args} | listing(network.text_encoder_loras + network.unet_loras))
    dylora.DyLoRANetwork.UNET_TARGET_REPLACE_MODULE = ["Transformer2DModel"]
    args = {"conv_dim": "4", "unit": "2"}
    network = dylora.create_network(1.0, 4, 2.0, None, text, unet, **args)
    lists.append({"module": "networks.dylora", "name": "dylora", "dim": 4, "alpha": 2, "args": args} | listing(network.text_encoder_loras + network.unet_loras))
    for args in [
        {"algo": "loha", "conv_dim": "2", "conv_alpha": "0.5"},
        {"algo": "lokr", "preset": "full-lin", "factor": "4"},
        {"algo": "locon", "preset": "attn-only"},
        {"algo": "loha", "preset": "attn-mlp"},
        {"algo": "lokr", "preset": "unet-only", "full_matrix": "True"},
        {"algo": "loha", "preset": "unet-transformer-only"},
        {"algo": "loha", "preset": "unet-convblock-only", "conv_dim": "3"},
    ]:
        network = create_network(1.0, 4, 2.0, None, text, unet, **args)
        lists.append({"module": "lycoris.kohya", "name": f"{args['algo']} {args.get('preset', 'full')}", "dim": 4, "alpha": 2, "args": args} | listing(network.text_encoder_loras + network.unet_loras))
    return {"lists": lists}


def splits() -> list:
    from lycoris.functional.general import factorization

    rows = []
    for size in [1, 2, 7, 40, 77, 127, 128, 250, 320, 360, 512, 640, 768, 960, 1024, 1280, 2560, 5120]:
        for factor in [-1, 1, 2, 3, 4, 8, 16, 100]:
            rows.append([size, factor, *factorization(size, factor)])
    return rows


def main() -> None:
    script = "scripts/reference/network_modules.py"
    cases = [lycoris_case(kind, name) for kind in LYCORIS for name in LAYERS]
    units = [dylora_case(name, start) for name in ("linear", "conv1x1", "conv3x3") for start in (0, 2)]
    folder = FIXTURES / "network_modules"
    write_json(folder / "layers.json", {"script": script, "layers": LAYERS, "cases": cases, "dylora": units, "splits": splits()})
    write_json(folder / "norms.json", {"script": script} | norms())
    write_json(folder / "modules.json", {"script": script} | module_lists())


if __name__ == "__main__":
    main()
