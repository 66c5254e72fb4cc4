"""A small network as `torch.jit.save` writes it: torch_script.pt, and its state dictionary: torch_script.npz.

pip install torch==2.13.0
python tests/golden/make_torch_script.py
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 2, bias=False)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).mean((2, 3))


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Inner()
        self.spread = nn.Parameter(torch.arange(6.0).reshape(2, 3).T.half())
        self.layers = nn.Sequential(nn.Linear(4, 2), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.visual(x)) @ self.spread.float().T


if __name__ == "__main__":
    torch.manual_seed(0)
    network = Outer().eval()
    torch.jit.trace(network, torch.zeros(1, 3, 4, 4)).save(HERE / "torch_script.pt")
    np.savez_compressed(HERE / "torch_script.npz", **{n: v.numpy() for n, v in network.state_dict().items()})
