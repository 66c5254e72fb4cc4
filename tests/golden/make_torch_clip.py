"""Vectors of small CLIPs by an implementation of its own, of torch's modules: torch_clip.npz.

pip install torch==2.13.0
python tests/golden/make_torch_clip.py
"""

from pathlib import Path

import numpy as np
import torch
from clip_weights import KINDS, LENGTH, RESNET, SPACE, TEXT_WIDTH, VIT, VOCABULARY, make_weights, pictures, tokens
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class Layer(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, 4 * width))
        self.mlp.add_module("gelu", QuickGelu())
        self.mlp.add_module("c_proj", nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int):
        super().__init__()
        self.resblocks = nn.ModuleList(Layer(width) for _ in range(layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        for layer in self.resblocks:
            x = layer(x, mask)
        return x


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        width, patch = VIT["width"], VIT["patch"]
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros((VIT["image_size"] // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, VIT["layers"])
        self.proj = nn.Parameter(torch.zeros(width, SPACE))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1) + self.positional_embedding
        return self.ln_post(self.transformer(self.ln_pre(x))[:, 0]) @ self.proj


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, padding=1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)
        self.pool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.downsample = None
        if stride > 1 or inputs != 4 * inner:
            self.downsample = nn.Sequential()
            self.downsample.add_module("-1", nn.AvgPool2d(stride))
            self.downsample.add_module("0", nn.Conv2d(inputs, 4 * inner, 1, bias=False))
            self.downsample.add_module("1", nn.BatchNorm2d(4 * inner))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.pool(functional.relu(self.bn2(self.conv2(y))))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class AttentionPool(nn.Module):
    def __init__(self, places: int, width: int):
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.zeros(places, width))
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.c_proj, self.heads = nn.Linear(width, SPACE), width // 64

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).permute(2, 0, 1)
        x = torch.cat([x.mean(0, keepdim=True), x]) + self.positional_embedding[:, None]
        names = ("q_proj", "k_proj", "v_proj")
        found, _ = functional.multi_head_attention_forward(
            x[:1], x, x, x.shape[-1], self.heads,
            q_proj_weight=self.q_proj.weight, k_proj_weight=self.k_proj.weight, v_proj_weight=self.v_proj.weight,
            in_proj_weight=None, in_proj_bias=torch.cat([getattr(self, name).bias for name in names]),
            bias_k=None, bias_v=None, add_zero_attn=False, dropout_p=0.0,
            out_proj_weight=self.c_proj.weight, out_proj_bias=self.c_proj.bias,
            use_separate_proj_weight=True, training=False, need_weights=False,
        )  # fmt: skip
        return found[0]


class Resnet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        n = RESNET["width"]
        self.conv1, self.bn1 = nn.Conv2d(3, n // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(n // 2)
        self.conv2, self.bn2 = nn.Conv2d(n // 2, n // 2, 3, padding=1, bias=False), nn.BatchNorm2d(n // 2)
        self.conv3, self.bn3 = nn.Conv2d(n // 2, n, 3, padding=1, bias=False), nn.BatchNorm2d(n)
        inputs = n
        for stage, count in enumerate(RESNET["blocks"]):
            layer = nn.Sequential()
            for i in range(count):
                layer.append(Bottleneck(inputs, n * 2**stage, 2 if stage and not i else 1))
                inputs = 4 * n * 2**stage
            self.add_module(f"layer{stage + 1}", layer)
        self.attnpool = AttentionPool((RESNET["image_size"] // 32) ** 2 + 1, inputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i in (1, 2, 3):
            x = functional.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
        x = functional.avg_pool2d(x, 2)
        for stage in range(len(RESNET["blocks"])):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.attnpool(x)


class Clip(nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        self.visual = Vit() if kind == "vit" else Resnet()
        self.token_embedding = nn.Embedding(VOCABULARY, TEXT_WIDTH)
        self.positional_embedding = nn.Parameter(torch.zeros(LENGTH, TEXT_WIDTH))
        self.transformer, self.ln_final = Transformer(TEXT_WIDTH, 2), nn.LayerNorm(TEXT_WIDTH)
        self.text_projection = nn.Parameter(torch.zeros(TEXT_WIDTH, SPACE))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def encode_text(self, words: torch.Tensor) -> torch.Tensor:
        mask = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
        x = self.ln_final(self.transformer(self.token_embedding(words) + self.positional_embedding, mask))
        return x[torch.arange(len(x)), words.argmax(-1)] @ self.text_projection


def main() -> None:
    found = {}
    for kind in KINDS:
        model = Clip(kind).eval()
        missing, unknown = model.load_state_dict(
            {name: torch.from_numpy(values) for name, values in make_weights(kind).items()}, strict=False
        )
        assert not unknown and all(name.endswith("num_batches_tracked") for name in missing), (missing, unknown)
        seen = torch.from_numpy(pictures(VIT["image_size"] if kind == "vit" else RESNET["image_size"]))
        seen = ((seen - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2).requires_grad_()
        image, text = model.visual(seen), model.encode_text(torch.from_numpy(tokens()).long())
        image, text = functional.normalize(image), functional.normalize(text)
        (image * text).sum().backward()
        found[f"{kind}.image"], found[f"{kind}.text"] = image.detach().numpy(), text.detach().numpy()
        found[f"{kind}.gradient"] = (seen.grad.permute(0, 2, 3, 1) / torch.tensor(STD)).numpy()
    np.savez_compressed(HERE / "torch_clip.npz", **found)


if __name__ == "__main__":
    main()
