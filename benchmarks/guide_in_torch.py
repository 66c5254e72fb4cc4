"""The other side of `guide.py`: one guide as a loop of torch, view by view, as programs of its kind are written.

CLIP's image tower is of torch's modules; its weights need no gradient, and no anomaly is looked for.
"""

import math
import time
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", QuickGelu())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Tower(nn.Module):
    """A vision transformer with OpenAI's names."""

    def __init__(self, weights: Mapping[str, np.ndarray]):
        super().__init__()
        width, _, patch, _ = weights["visual.conv1.weight"].shape
        places, _ = weights["visual.positional_embedding"].shape
        layers = len({name.split(".")[3] for name in weights if name.startswith("visual.transformer")})
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(places, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block(width) for _ in range(layers))
        self.proj = nn.Parameter(torch.zeros(weights["visual.proj"].shape))
        own = {name.removeprefix("visual."): torch.from_numpy(a) for name, a in weights.items() if "visual" in name}
        self.load_state_dict(own)
        self.requires_grad_(False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        x = self.conv1((pictures - mean) / std).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.transformer.resblocks:
            x = block(x)
        return functional.normalize(self.ln_post(x[:, 0]) @ self.proj)


def blurred(picture: torch.Tensor, kernel: int) -> torch.Tensor:
    """A Gaussian of `kernel` taps an edge over (3, h, w), reflected at its border."""
    sigma = 0.15 * kernel + 0.35
    taps = torch.exp(-0.5 * ((torch.arange(kernel) - (kernel - 1) / 2) / sigma) ** 2)
    taps = (taps / taps.sum()).expand(3, 1, -1)
    half = kernel // 2
    x = functional.pad(picture[None], (half, half, half, half), "reflect")
    x = functional.conv2d(x, taps[:, :, None, :], groups=3)
    return functional.conv2d(x, taps[:, :, :, None], groups=3)[0]


def view(picture: torch.Tensor, size: int, noise: float, degrees: float) -> torch.Tensor:
    """Noise, three times three copies, a turn, the middle."""
    x = (picture + noise * torch.randn_like(picture)).repeat(1, 3, 3)
    angle = math.radians((2 * torch.rand(()).item() - 1) * degrees)
    turn = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = functional.affine_grid(turn[None], [1, *x.shape], align_corners=False)
    x = functional.grid_sample(x[None], grid, "nearest", align_corners=False)[0]
    top, left = (x.shape[1] - size) // 2, (x.shape[2] - size) // 2
    return x[:, top : top + size, left : left + size].clamp(0, 1)


def seconds_a_step(
    tower: Tower, wanted: np.ndarray, weights: list[float], size: int, views: int, kernel: int, steps: int
) -> list[float]:
    """Seconds of each step of Adam on a picture of `size` x `size`."""
    picture = (0.5 + 0.1 * torch.randn(3, size, size)).clamp(0, 1).requires_grad_()
    optimizer = torch.optim.Adam([picture], 0.01)
    vectors = torch.from_numpy(wanted)
    seconds = []
    for _ in range(steps):
        began = time.perf_counter()
        seen = [view(picture.clamp(0, 1), size, 0.1, 10.0) for _ in range(views)]
        cosines = tower(torch.stack(seen)) @ vectors.T
        loss = (torch.tensor(weights) * (1 - cosines)).sum()
        for one in seen:
            loss = loss + 100 * (one - blurred(one, kernel)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - began)
    return seconds
