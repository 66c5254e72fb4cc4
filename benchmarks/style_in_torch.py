"""The source project's style transfer, built in torch from its formulas; `style.py` measures it.

VGG with average pools that are not rescaled; Gram matrices by C H W; mean squared differences of them and of the
content's maps, summed over layers; total variation squared; torch's L-BFGS without a line search, the picture moved
into [0, 1] inside the closure. The source's network is VGG16 up to conv4_3; here it is as much of VGG19 as the Keras
arrays in ../shared/weights have, and the layers are the nearest ones.

What is done in torch's favour: the weights want no gradients, nothing is printed or saved, and the rate is tuned.

Legend: H, W the picture; C channels, h, w the size of a map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, conv2d

CONTENT_LAYER, STYLE_LAYERS = "relu3_4", ("relu1_2", "relu2_2", "relu3_3")  # the source's: 4_2; 1_2, 2_2, 3_3, 4_3
CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 1.0, 1e6, 1e-6
CAFFE_MEAN = (123.68, 116.779, 103.939)  # of RGB in [0, 255]
# The source's network sees pictures of spread 1. These arrays want [0, 255], whose maps are as many times as large;
# ReLU networks scale with their input and biases, so dividing both gives maps for which the source's weights are meant.
SPREAD = 255 * 0.225

Watch = Callable[[torch.Tensor], None]  # is shown each picture (1, 3, H, W) as soon as it is in [0, 1]


@dataclass(frozen=True)
class Network:
    """VGG19 up to conv3_4: of each convolution its name, kernel (out, in, 3, 3) and bias (out,).

    `layout` is the memory format of kernels and maps: `torch.contiguous_format`, the source's, or
    `torch.channels_last`.
    """

    convolutions: tuple[tuple[str, torch.Tensor, torch.Tensor], ...]
    layout: torch.memory_format

    @classmethod
    def read(cls, file: Path, layout: torch.memory_format) -> "Network":
        """The network in a file of Keras's arrays."""
        found = []
        with np.load(file) as arrays:
            for name in sorted(key.removesuffix("_kernel") for key in arrays if key.endswith("_kernel")):
                kernel = torch.from_numpy(arrays[f"{name}_kernel"]).permute(3, 2, 0, 1)
                if name == "block1_conv1":
                    kernel = kernel.flip(1)  # Keras's sees BGR
                bias = torch.from_numpy(arrays[f"{name}_bias"]) / SPREAD
                short = name.replace("block", "").replace("_conv", "_")
                found.append((short, kernel.contiguous(memory_format=layout), bias))
        return cls(tuple(found), layout)

    def maps(self, picture: torch.Tensor) -> dict[str, torch.Tensor]:
        """The maps (1, C, h, w) of CONTENT_LAYER and STYLE_LAYERS."""
        mean = torch.tensor(CAFFE_MEAN).view(1, 3, 1, 1)
        values, found = ((255 * picture - mean) / SPREAD).contiguous(memory_format=self.layout), {}
        for name, kernel, bias in self.convolutions:
            if name in ("2_1", "3_1"):
                values = avg_pool2d(values, 2)
            values = torch.relu(conv2d(values, kernel, bias, padding=1))
            if (layer := f"relu{name}") in (CONTENT_LAYER, *STYLE_LAYERS):
                found[layer] = values
        return found


def tensor(picture: np.ndarray) -> torch.Tensor:
    """(1, 3, H, W) in [0, 1] of uint8 (H, W, 3); colours lie apart in memory, as torch's L-BFGS needs them."""
    return torch.from_numpy(picture.transpose(2, 0, 1)[None] / np.float32(255)).contiguous()


def gram(maps: torch.Tensor) -> torch.Tensor:
    """(1, C, C), by C H W, of maps (1, C, h, w)."""
    rows = maps.flatten(2)
    return rows @ rows.transpose(1, 2) / (rows.shape[1] * rows.shape[2])


def total_variation(picture: torch.Tensor) -> torch.Tensor:
    """Squared, by the number of values."""
    across, down = picture.diff(dim=3), picture.diff(dim=2)
    return (across.square().sum() + down.square().sum()) / picture.numel()


class Loss:
    """The source's loss of a picture (1, 3, H, W), weighted and summed."""

    def __init__(self, network: Network, content: np.ndarray, style: np.ndarray):
        """Compute the targets from uint8 pictures (H, W, 3)."""
        self.network = network
        with torch.no_grad():
            self.content = network.maps(tensor(content))[CONTENT_LAYER]
            styles = network.maps(tensor(style))
            self.grams = {layer: gram(styles[layer]) for layer in STYLE_LAYERS}

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        maps = self.network.maps(picture)
        content = (maps[CONTENT_LAYER] - self.content).square().mean()
        style = sum((gram(maps[layer]) - self.grams[layer]).square().mean() for layer in STYLE_LAYERS)
        return CONTENT_WEIGHT * content + STYLE_WEIGHT * style + TV_WEIGHT * total_variation(picture)

    def judge(self, picture: np.ndarray) -> float:
        """The loss of uint8 (H, W, 3)."""
        with torch.no_grad():
            return float(self(tensor(picture)))


def lbfgs(
    network: Network, content: np.ndarray, style: np.ndarray, rate: float, evaluations: int, watch: Watch
) -> None:
    """The source's descent from the content picture, in whole steps of 10 evaluations of the loss each."""
    loss = Loss(network, content, style)
    picture = tensor(content).requires_grad_()
    optimizer = torch.optim.LBFGS([picture], lr=rate, max_iter=10)

    def closure() -> float:
        with torch.no_grad():
            picture.clamp_(0, 1)
        watch(picture.detach())
        optimizer.zero_grad()
        value = loss(picture)
        value.backward()
        return value.item()

    for _ in range(-(-evaluations // 10)):
        optimizer.step(closure)
    watch(picture.detach().clamp(0, 1))


def adam(network: Network, content: np.ndarray, style: np.ndarray, rate: float, evaluations: int, watch: Watch) -> None:
    """The same with torch's Adam, which the source does not offer; often the stronger one without a line search."""
    loss = Loss(network, content, style)
    picture = tensor(content).requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=rate)
    watch(picture.detach())
    for _ in range(evaluations):
        optimizer.zero_grad()
        loss(picture).backward()
        optimizer.step()
        with torch.no_grad():
            picture.clamp_(0, 1)
        watch(picture.detach())
