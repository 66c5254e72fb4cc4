"""Small CLIPs with random weights under OpenAI's names, for the golden vectors and the tests of them; NumPy alone."""

import numpy as np

VOCABULARY, LENGTH, SPACE, TEXT_WIDTH = 50, 12, 24, 64
VIT = {"image_size": 32, "patch": 8, "width": 128, "layers": 2}
RESNET = {"image_size": 64, "width": 8, "blocks": (1, 2, 1, 1)}  # the map's 256 channels are four heads
KINDS = ("vit", "resnet")


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def dense(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def batch_norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {**norm(name, width), f"{name}.running_mean": (width,), f"{name}.running_var": (width,)}


def blocks(prefix: str, width: int, count: int) -> dict[str, tuple[int, ...]]:
    found = {}
    for i in range(count):
        place = f"{prefix}.resblocks.{i}"
        found |= {f"{place}.attn.in_proj_weight": (3 * width, width), f"{place}.attn.in_proj_bias": (3 * width,)}
        found |= dense(f"{place}.attn.out_proj", width, width)
        found |= norm(f"{place}.ln_1", width) | norm(f"{place}.ln_2", width)
        found |= dense(f"{place}.mlp.c_fc", width, 4 * width) | dense(f"{place}.mlp.c_proj", 4 * width, width)
    return found


def vit_shapes() -> dict[str, tuple[int, ...]]:
    width, patch = VIT["width"], VIT["patch"]
    places = (VIT["image_size"] // patch) ** 2 + 1
    found = {"visual.conv1.weight": (width, 3, patch, patch), "visual.class_embedding": (width,)}
    found |= {"visual.positional_embedding": (places, width), "visual.proj": (width, SPACE)}
    found |= norm("visual.ln_pre", width) | norm("visual.ln_post", width)
    return found | blocks("visual.transformer", width, VIT["layers"])


def resnet_shapes() -> dict[str, tuple[int, ...]]:
    n = RESNET["width"]
    found = {"visual.conv1.weight": (n // 2, 3, 3, 3), "visual.conv2.weight": (n // 2, n // 2, 3, 3)}
    found |= {"visual.conv3.weight": (n, n // 2, 3, 3)}
    found |= batch_norm("visual.bn1", n // 2) | batch_norm("visual.bn2", n // 2) | batch_norm("visual.bn3", n)
    inputs = n
    for stage, count in enumerate(RESNET["blocks"]):
        inner = n * 2**stage
        for i in range(count):
            place = f"visual.layer{stage + 1}.{i}"
            found |= {f"{place}.conv1.weight": (inner, inputs, 1, 1), f"{place}.conv2.weight": (inner, inner, 3, 3)}
            found |= {f"{place}.conv3.weight": (4 * inner, inner, 1, 1)}
            found |= batch_norm(f"{place}.bn1", inner) | batch_norm(f"{place}.bn2", inner)
            found |= batch_norm(f"{place}.bn3", 4 * inner)
            if i == 0:
                found |= {f"{place}.downsample.0.weight": (4 * inner, inputs, 1, 1)}
                found |= batch_norm(f"{place}.downsample.1", 4 * inner)
            inputs = 4 * inner
    places = (RESNET["image_size"] // 32) ** 2 + 1
    found |= {"visual.attnpool.positional_embedding": (places, inputs)}
    for name in ("q_proj", "k_proj", "v_proj"):
        found |= dense(f"visual.attnpool.{name}", inputs, inputs)
    return found | dense("visual.attnpool.c_proj", inputs, SPACE)


def shapes(kind: str) -> dict[str, tuple[int, ...]]:
    found = vit_shapes() if kind == "vit" else resnet_shapes()
    found |= {"token_embedding.weight": (VOCABULARY, TEXT_WIDTH), "positional_embedding": (LENGTH, TEXT_WIDTH)}
    found |= {"text_projection": (TEXT_WIDTH, SPACE), "logit_scale": ()}
    return found | norm("ln_final", TEXT_WIDTH) | blocks("transformer", TEXT_WIDTH, 2)


def make_weights(kind: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Float32; spread so that no tower's values fade or grow."""
    random, found = np.random.default_rng(seed), {}
    for name, shape in shapes(kind).items():
        values = random.standard_normal(shape)
        if name.endswith("running_var"):
            values = np.square(values) + 0.5
        elif name.endswith(("ln_1.weight", "ln_2.weight", "ln_pre.weight", "ln_post.weight", "ln_final.weight")):
            values = 1 + 0.3 * values
        elif ".bn" in name or "downsample.1" in name:
            values = 1 + 0.3 * values if name.endswith(".weight") else 0.3 * values
        elif len(shape) > 1:
            inputs = shape[0] if name.endswith("proj") or name == "text_projection" else np.prod(shape[1:])
            values = values * (1.5 if "conv" in name else 1.0) / np.sqrt(inputs)
        else:
            values = 0.3 * values
        found[name] = np.asarray(values, np.float32)
    return found


def pictures(edge: int) -> np.ndarray:
    """Three pictures (3, edge, edge, 3), RGB in [0, 1]."""
    return np.random.default_rng(edge).random((3, edge, edge, 3), np.float32)


def tokens() -> np.ndarray:
    """Three texts of different lengths, int32; each ends with the last token of the vocabulary."""
    found = np.random.default_rng(5).integers(1, VOCABULARY - 2, (3, LENGTH))
    for i, end in enumerate((3, 7, LENGTH - 1)):
        found[i, end] = VOCABULARY - 1
        found[i, end + 1 :] = 0
    return found.astype(np.int32)
