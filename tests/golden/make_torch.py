"""Make `torch_vgg.npz`, `torch_vgg16_bn.pth` and `torch_vgg19_old.pth`: what torch computes and writes.

    python3 -m venv torch-venv
    torch-venv/bin/pip install torch==2.13.0 numpy --extra-index-url https://download.pytorch.org/whl/cpu
    torch-venv/bin/python tests/golden/make_torch.py

The networks are VGG16 and VGG19 with few channels, so that the files are small. Their weights come from NumPy's
generator, so that the tests make them again without torch. Each case names network, pooling, rescaling, padding of
the first convolution, and preprocessing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
WIDTHS, HIDDEN, CLASSES = (4, 6, 8, 10, 12), 16, 10
CONVOLUTIONS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
CASES = (
    ("vgg19", "max", True, "zero", "torchvision"),
    ("vgg16", "average", True, "replicate", "caffe"),
    ("vgg19", "l2", True, "zero", "none"),
    ("vgg16", "average", False, "zero", "torchvision"),
)
WITH_GRADIENT = (0, 1)  # torch's root has none where a whole cell is empty
STYLE = ("relu1_1", "relu2_1", "conv3_2", "relu4_1", "relu5_1")
FACTORS = {"max": 1.0, "average": 2.0, "l2": 0.78}


def picture(height: int = 47, width: int = 43, seed: int = 5) -> np.ndarray:
    """RGB (1, H, W, 3) in [0, 1]: two gradients and noise; its edges are odd, so that pools leave rows out."""
    noise = np.random.default_rng(seed).random((1, height, width, 3), np.float32)
    y, x = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[:, None]
    return (0.5 * noise + 0.3 * y + 0.2 * x).astype(np.float32)


def make_weights(network: str, seed: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Kernels (3, 3, in, out) and biases, and a classifier fc6, fc7, fc8 whose kernels are (in, out)."""
    random, weights, inputs = np.random.default_rng(seed), {}, 3

    def layer(*shape: int) -> dict[str, np.ndarray]:
        spread = np.sqrt(2 / np.prod(shape[:-1]))
        kernel = spread * random.standard_normal(shape)
        bias = 0.3 * random.standard_normal(shape[-1])
        return {"kernel": kernel.astype(np.float32), "bias": bias.astype(np.float32)}

    for block, count in enumerate(CONVOLUTIONS[network], 1):
        for i in range(1, count + 1):
            weights[f"conv{block}_{i}"] = layer(3, 3, inputs, WIDTHS[block - 1])
            inputs = WIDTHS[block - 1]
    for name, before, after in (("fc6", 49 * inputs, HIDDEN), ("fc7", HIDDEN, HIDDEN), ("fc8", HIDDEN, CLASSES)):
        weights[name] = layer(before, after)
    return weights


def make_normalisation(network: str, seed: int = 2) -> dict[str, dict[str, np.ndarray]]:
    """Gain, shift, mean and variance of a batch normalisation after each convolution, in torch's words."""
    random, found = np.random.default_rng(seed), {}
    for block, count in enumerate(CONVOLUTIONS[network], 1):
        for i in range(1, count + 1):
            parts = random.random((4, WIDTHS[block - 1])).astype(np.float32)
            values = dict(weight=0.5 + parts[0], bias=parts[1] - 0.3, running_mean=parts[2] - 0.5, running_var=parts[3])
            found[f"conv{block}_{i}"] = values
    return found


def build(network: str, pooling: str, rescale: bool, padding: str, normalised: bool = False) -> Any:
    """The network as torch modules: `features`, with a name for each, and `classifier`, as in torchvision."""
    import torch
    from torch import nn

    class Pool(nn.Module):
        def forward(self, x: Any) -> Any:
            if pooling == "max":
                x = nn.functional.max_pool2d(x, 2)
            else:
                x = nn.functional.avg_pool2d(x, 2) if pooling == "average" else nn.functional.lp_pool2d(x, 2, 2)
            return x * FACTORS[pooling] if rescale else x

    features, inputs = nn.Sequential(), 3
    names: list[str] = []
    weights, normalisation = make_weights(network), make_normalisation(network)
    for block, count in enumerate(CONVOLUTIONS[network], 1):
        for i in range(1, count + 1):
            name, outputs = f"conv{block}_{i}", WIDTHS[block - 1]
            mode = "replicate" if (padding == "replicate" and inputs == 3) else "zeros"
            features.append(nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode=mode))
            _fill(features[-1], weights[name]["kernel"].transpose(3, 2, 0, 1), weights[name]["bias"])
            names.append("" if normalised else name)
            if normalised:
                features.append(nn.BatchNorm2d(outputs))
                state = {key: torch.from_numpy(value) for key, value in normalisation[name].items()}
                features[-1].load_state_dict(state | {"num_batches_tracked": torch.tensor(7)})
                names.append(name)
            features.append(nn.ReLU())
            names.append(f"relu{block}_{i}")
            inputs = outputs
        features.append(Pool())
        names.append(f"pool{block}")
    classifier = nn.Sequential(
        *(nn.Linear(49 * inputs, HIDDEN), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, CLASSES)),
    )
    # Here rows of fc6 go through the 7x7 cells, their channels last; torch has the channels first.
    first = weights["fc6"]["kernel"].reshape(7, 7, inputs, HIDDEN).transpose(3, 2, 0, 1).reshape(HIDDEN, -1)
    for place, kernel, name in (
        (0, first, "fc6"),
        (3, weights["fc7"]["kernel"].T, "fc7"),
        (6, weights["fc8"]["kernel"].T, "fc8"),
    ):
        _fill(classifier[place], kernel, weights[name]["bias"])
    whole = nn.Module()
    whole.features, whole.avgpool, whole.classifier = features, nn.AdaptiveAvgPool2d(7), classifier
    whole.names = names
    return whole.eval()


def _fill(module: Any, kernel: np.ndarray, bias: np.ndarray) -> None:
    import torch

    module.load_state_dict({"weight": torch.from_numpy(kernel.copy()), "bias": torch.from_numpy(bias)})


def preprocessed(pictures: Any, way: str) -> Any:
    """Pictures (B, 3, H, W) as the network sees them."""
    import torch

    if way == "torchvision":
        mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return (pictures - mean) / std
    if way == "caffe":
        return 255 * pictures.flip(1) - torch.tensor((103.939, 116.779, 123.68))[:, None, None]
    return pictures


def maps(network: Any, values: Any) -> Iterator[tuple[str, Any]]:
    """Names and maps (B, C, h, w) of all layers."""
    for name, module in zip(network.names, network.features, strict=True):
        values = module(values)
        if name:
            yield name, values


def logits(network: Any, values: Any) -> np.ndarray:
    """Scores (B, classes)."""
    values = network.avgpool(network.features(values)).flatten(1)
    return network.classifier(values).detach().numpy()


def sample(values: Any) -> np.ndarray:
    """Of a map (1, C, h, w): the mean of each channel in the first row, then every fifth value of the rest."""
    array = values.detach().numpy()[0].transpose(1, 2, 0)
    means = array.mean((0, 1))
    return np.concatenate([means, array[::5, ::5].ravel()])


def main() -> None:
    """Write the files."""
    import torch

    found: dict[str, np.ndarray] = {}
    for i, (name, pooling, rescale, padding, way) in enumerate(CASES):
        network = build(name, pooling, rescale, padding)
        colours = torch.from_numpy(picture()).permute(0, 3, 1, 2).requires_grad_(True)
        loss: Any = 0.0
        for layer, values in maps(network, preprocessed(colours, way)):
            found[f"{i}.{layer}"] = sample(values)
            if layer in STYLE:
                flat = values[0].flatten(1)
                loss = loss + (flat @ flat.T / flat.numel()).square().mean()
        if i in WITH_GRADIENT:
            loss.backward()
            found[f"{i}.loss"] = loss.detach().numpy()
            found[f"{i}.gradient"] = colours.grad.numpy()[0].transpose(1, 2, 0)

    torch.manual_seed(0)
    normalised = build("vgg16", "max", True, "zero", normalised=True)
    old = build("vgg19", "max", True, "zero")
    for name, network in (("vgg16_bn", normalised), ("vgg19_old", old)):
        for height, width in ((47, 43), (70, 260), (224, 224)):
            colours = torch.from_numpy(picture(height, width)).permute(0, 3, 1, 2)
            found[f"{name}.logits.{height}x{width}"] = logits(network, preprocessed(colours, "torchvision"))
        for layer, values in maps(
            network, preprocessed(torch.from_numpy(picture()).permute(0, 3, 1, 2), "torchvision")
        ):
            if layer in STYLE:
                found[f"{name}.{layer}"] = sample(values)
    np.savez_compressed(HERE / "torch_vgg.npz", **found)
    torch.save(normalised.state_dict(), HERE / "torch_vgg16_bn.pth")
    # The older form, and parameters in place of tensors, as in torchvision's own files of VGG networks.
    torch.save(dict(old.named_parameters()), HERE / "torch_vgg19_old.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
