"""The scales of torch.amp.GradScaler after each of a script of steps, some of which overflow, and what it steps."""

import json
from pathlib import Path

import torch

STEPS = "....x....xx...x......xxx.........x.x.x..........x..."  # x: a gradient is infinite
SETTINGS = {"init_scale": 1024.0, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 3}


def run() -> dict:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", **SETTINGS)
    steps = []
    for step in STEPS:
        optimizer.zero_grad()
        scaler.scale((parameter * (float("inf") if step == "x" else 1.0)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        steps.append(
            {
                "overflow": step == "x",
                "scale": scaler.get_scale(),
                "goodSteps": scaler.state_dict()["_growth_tracker"],
                "taken": -round(parameter.item()),
            }
        )
    defaults = torch.amp.GradScaler("cpu")
    return {
        "initialScale": SETTINGS["init_scale"],
        "growthFactor": SETTINGS["growth_factor"],
        "backoffFactor": SETTINGS["backoff_factor"],
        "growthInterval": SETTINGS["growth_interval"],
        "defaults": {
            "initialScale": defaults.get_scale(),
            "growthFactor": defaults.get_growth_factor(),
            "backoffFactor": defaults.get_backoff_factor(),
            "growthInterval": defaults.get_growth_interval(),
        },
        "steps": steps,
    }


if __name__ == "__main__":
    folder = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "loss_scaler"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps.json").write_text(json.dumps(run(), separators=(",", ":")) + "\n")
