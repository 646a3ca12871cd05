#!/usr/bin/env python3
"""Writes optimizer.json: 20 steps of torch.optim.AdamW on two groups of parameters, one without weight decay, with
torch.nn.utils.clip_grad_norm_ and torch.amp.GradScaler, in float64 from gradients that fp32 can hold. Some steps'
gradients overflow (null).

    python tests/golden/generate_optimizer.py
"""

import json
import pathlib

import numpy as np
import torch

STEPS, SIZES, OVERFLOWS = 20, (12, 8), (4, 5, 13)


def single(values):
    return np.asarray(values, np.float32).astype(np.float64)


def main():
    random = np.random.default_rng(1)
    parameters = [torch.nn.Parameter(torch.tensor(single(random.normal(size=size)))) for size in SIZES]
    start = [p.tolist() for p in parameters]
    optimizer = torch.optim.AdamW(
        [{"params": parameters[:1], "weight_decay": 0.1}, {"params": parameters[1:], "weight_decay": 0.0}], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
    steps = []
    for step in range(STEPS):
        learning_rate = float(single(0.01 * min(step + 1, 5) / 5 * (1 - step / STEPS)))
        gradients = [single(random.normal(size=size) * 10.0 ** random.integers(-3, 1)) for size in SIZES]
        if step in OVERFLOWS:
            gradients[step % 2][step % SIZES[step % 2]] = np.inf
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        scale = scaler.scale(torch.ones((), dtype=torch.float64)).item()
        for p, gradient in zip(parameters, gradients):
            p.grad = torch.tensor(gradient * scale)
        scaler.unscale_(optimizer)
        norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        scaler.step(optimizer)
        scaler.update()
        steps.append({
            "learning_rate": learning_rate, "loss_scale": scale,
            "gradients": [[None if np.isinf(g) else g for g in gradient] for gradient in gradients],
            "norm": None if step in OVERFLOWS else norm,
            "weights": [p.tolist() for p in parameters], "next_loss_scale": scaler.get_scale()})
    target = pathlib.Path(__file__).parent / "optimizer.json"
    target.write_text(json.dumps({"weight_decay": 0.1, "start": start, "steps": steps}, indent=None) + "\n")


if __name__ == "__main__":
    main()
