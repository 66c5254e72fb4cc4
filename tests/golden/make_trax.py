"""Make `trax_*.npz`: weights and log-probabilities of small models, computed by Trax itself.

Run with Trax 1.4.1 and JAX 0.10.2 on Python 3.11, in an environment of its own:

    python3.11 -m venv trax-venv
    trax-venv/bin/pip install trax==1.4.1 jax==0.10.2 jaxlib==0.10.2
    trax-venv/bin/python tests/golden/make_trax.py

Weights are drawn at random with a spread that makes every one of them matter, not Trax's initial values.
"""

import json
from pathlib import Path

import jax
import numpy as np
import trax
from trax.models import ReformerLM, TransformerLM
from trax.shapes import ShapeDtype

VOCAB, LENGTH = 66, 16  # HSV 2,2,2 at 4x4
COMMON = dict(d_model=16, d_ff=24, n_layers=2, n_heads=2, max_len=LENGTH, dropout=0.1, mode="eval")
CASES = {
    "transformer": (TransformerLM, COMMON),
    "transformer_one": (TransformerLM, {**COMMON, "n_layers": 1, "n_heads": 1}),
    "reformer": (ReformerLM, {**COMMON, "d_attention_key": 8, "d_attention_value": 8}),
    "reformer_widths": (ReformerLM, {**COMMON, "n_heads": 3, "d_attention_key": 12, "d_attention_value": 6}),
}


def main() -> None:
    for name, (make, arguments) in CASES.items():
        random = np.random.default_rng(len(name))
        model = make(VOCAB, **arguments)
        tokens = random.integers(2, VOCAB, (3, LENGTH)).astype(np.int32)
        model.init(ShapeDtype(tokens.shape, np.int32), rng=jax.random.PRNGKey(0))
        leaves, structure = jax.tree.flatten(model.weights)
        leaves = [np.asarray(w) + 0.3 * random.standard_normal(w.shape).astype(np.float32) for w in leaves]
        model.weights = jax.tree.unflatten(structure, leaves)
        with jax.default_matmul_precision("highest"):
            logits = model(tokens, rng=jax.random.PRNGKey(0))
        arrays = {f"weight_{i:03d}": w for i, w in enumerate(leaves)}
        np.savez_compressed(
            Path(__file__).with_name(f"trax_{name}.npz"),
            tokens=tokens.astype(np.uint16),
            log_probs=np.asarray(jax.nn.log_softmax(logits, axis=-1)),
            arguments=json.dumps(arguments),
            trax_version=getattr(trax, "__version__", "1.4.1"),
            **arrays,
        )
        print(name, [w.shape for w in leaves])


if __name__ == "__main__":
    main()
