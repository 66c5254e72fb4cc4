"""Make `trax_*`: weights, checkpoints and log-probabilities of small models, written and computed by Trax itself.

Run with Trax 1.4.1 and JAX 0.10.2 on Python 3.11, in an environment of its own:

    python3.11 -m venv trax-venv
    trax-venv/bin/pip install trax==1.4.1 jax==0.10.2 jaxlib==0.10.2
    trax-venv/bin/python tests/golden/make_trax.py

Weights in `trax_NAME.npz` are drawn at random with a spread that makes every one of them matter, not Trax's initial
values. `checkpoints/NAME.pkl.gz` are two steps of training saved by Trax's own loop, in its present format, and
`checkpoints/NAME-single.pkl.gz` the same model in one pickle, as `Layer.save_to_file` (and older loops) write it.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import trax
from trax import layers as tl
from trax import optimizers
from trax.models import ReformerLM, TransformerLM
from trax.shapes import ShapeDtype
from trax.supervised import training

HERE = Path(__file__).parent
VOCAB, LENGTH = 66, 16  # HSV 2,2,2 at 4x4
COMMON = dict(d_model=16, d_ff=24, n_layers=2, n_heads=2, max_len=LENGTH, dropout=0.1)
CASES = {
    "transformer": (TransformerLM, COMMON),
    "transformer_one": (TransformerLM, {**COMMON, "n_layers": 1, "n_heads": 1}),
    "reformer": (ReformerLM, {**COMMON, "d_attention_key": 8, "d_attention_value": 8}),
    "reformer_widths": (ReformerLM, {**COMMON, "n_heads": 3, "d_attention_key": 12, "d_attention_value": 6}),
}
SMALL = dict(d_model=8, d_ff=12, n_layers=2, n_heads=2, dropout=0.1)
CHECKPOINTS = {
    "transformer": (TransformerLM, {**SMALL, "max_len": LENGTH}),
    "reformer": (ReformerLM, {**SMALL, "max_len": 20, "d_attention_key": 4, "d_attention_value": 3}),
}


def main() -> None:
    for name, (make, arguments) in CASES.items():
        make_weights(name, make, arguments)
    for name, (make, arguments) in CHECKPOINTS.items():
        make_checkpoint(name, make, arguments)


def make_weights(name: str, make: Callable[..., Any], arguments: dict[str, Any]) -> None:
    random = np.random.default_rng(len(name))
    model = make(VOCAB, **arguments, mode="eval")
    tokens = random.integers(2, VOCAB, (3, LENGTH)).astype(np.int32)
    model.init(ShapeDtype(tokens.shape, np.int32), rng=jax.random.PRNGKey(0))
    leaves, structure = jax.tree.flatten(model.weights)
    leaves = [np.asarray(w) + 0.3 * random.standard_normal(w.shape).astype(np.float32) for w in leaves]
    model.weights = jax.tree.unflatten(structure, leaves)
    np.savez_compressed(
        HERE / f"trax_{name}.npz",
        tokens=tokens.astype(np.uint16),
        log_probs=log_probs(model, tokens),
        arguments=json.dumps({**arguments, "mode": "eval"}),
        trax_version=getattr(trax, "__version__", "1.4.1"),
        **{f"weight_{i:03d}": w for i, w in enumerate(leaves)},
    )
    print(name, [w.shape for w in leaves])


def make_checkpoint(name: str, make: Callable[..., Any], arguments: dict[str, Any]) -> None:
    random = np.random.default_rng(1)
    tokens = random.integers(2, VOCAB, (2, LENGTH)).astype(np.int32)

    def batches() -> Iterator[tuple[np.ndarray, ...]]:
        while True:
            yield tokens, tokens, np.ones(tokens.shape, np.float32)

    task = training.TrainTask(
        batches(), tl.WeightedCategoryCrossEntropy(), optimizers.Adam(0.05), n_steps_per_checkpoint=99
    )
    (HERE / "checkpoints").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        loop = training.Loop(make(VOCAB, **arguments, mode="train"), [task], output_dir=folder, random_seed=0)
        loop.run(2)
        loop.save_checkpoint(name)
        for ending in (".pkl.gz", ".weights.npy.gz"):
            (HERE / "checkpoints" / (name + ending)).write_bytes((Path(folder) / (name + ending)).read_bytes())
    signature = ShapeDtype(tokens.shape, np.int32)
    model = make(VOCAB, **arguments, mode="eval")
    path = HERE / "checkpoints" / f"{name}.pkl.gz"
    model.init_from_file(str(path), weights_only=True, input_signature=signature)
    model.save_to_file(str(path.with_name(f"{name}-single.pkl.gz")), input_signature=signature)
    np.savez_compressed(
        HERE / "checkpoints" / f"{name}.npz",
        tokens=tokens.astype(np.uint16),
        log_probs=log_probs(model, tokens),
        arguments=json.dumps(arguments),
    )
    print(name, [p.name for p in sorted((HERE / "checkpoints").iterdir())])


def log_probs(model: Any, tokens: np.ndarray) -> np.ndarray:
    with jax.default_matmul_precision("highest"):
        return np.asarray(jax.nn.log_softmax(model(tokens, rng=jax.random.PRNGKey(0)), axis=-1))


if __name__ == "__main__":
    main()
