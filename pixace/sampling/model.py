"""A trained model in the hand: its tokenizer, its likelihoods, its drawing. `pixace.load` gives one."""

import operator
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace.config import ENGINES, ModelConfig, RunConfig
from pixace.errors import ConfigError, PixaceError
from pixace.exchange import Say, find_model
from pixace.models.spec import Parameters
from pixace.models.transformer import log_probs
from pixace.progress import Progress, silent
from pixace.sampling.engine import Engine
from pixace.sampling.filters import make_settings
from pixace.tokenizer import Tokenizer

MOST_LOGITS = 2**27  # log_probs works on so many at a time (512 MiB)
HOTTEST = 1e6  # beyond it all tokens are equally likely in float32 anyway
N_SEEDS = 2**32  # JAX would take larger ones, and negative ones, for one of these


def load(
    name_or_path: str | os.PathLike,
    weights_dir: str | os.PathLike | None = "model-weights",
    engine: str = "jax",
    *,
    given: Mapping[str, Any] | None = None,
    say: Say | None = None,
) -> "Model":
    """Load a model by its name in `weights_dir`, or by the path of its folder, an exported file or a Trax checkpoint.

    See `Model` for `engine` and `pixace.exchange.find_model` for the others. For Trax's `model.pkl.gz`:
    `load("model.pkl.gz", given={"n_heads": 4})` tells what its arrays do not.
    """
    found = find_model(name_or_path, weights_dir, given, say=say)
    return Model(found.config, found.load()[0], found.path, engine)


class Model:
    """Weights with the configuration they were trained under.

    Attributes:
        tokenizer: pictures <-> tokens, resizing as in training.
        config: the `RunConfig`.
        parameters: float32 weights.
        engine_name: what draws: jax, or trax (models of --arch=trax only, `pip install '.[trax]'`).

    Legend: B prompts, n pictures, T tokens a picture, V vocabulary.
    """

    def __init__(self, config: RunConfig, parameters: Parameters, folder: Path | None = None, engine: str = ENGINES[0]):
        if engine not in ENGINES:
            raise ConfigError(f"engine={engine!r} is not known; choose one of {', '.join(ENGINES)}")
        self.config, self.parameters, self.folder, self.engine_name = config, parameters, folder, engine
        self.tokenizer = Tokenizer(config.tokenizer)

    @cached_property
    def engine(self) -> Engine:
        """The compiled sampler, made when first needed."""
        if self.engine_name == "trax":
            from pixace.trax_engine.sampler import TraxSampler

            return TraxSampler(self.parameters, self.config.model)
        return Engine(self.parameters, self.config.model)

    def log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Log-probability of every id at every position: (B, T) integers to (B, T, V) float32.

        The model's own distribution over all V ids, reserved ones included, without filter or mask.
        Position 0 is conditioned on the start id, position t on the tokens before it. Fewer than a whole
        picture's tokens may be given.
        """
        tokens = self._checked(tokens)
        if tokens.ndim != 2:
            raise PixaceError(f"log_probs takes tokens (B, T), not {tokens.shape}")
        if tokens.size == 0:
            return np.zeros((*tokens.shape, self.config.model.vocab_size), np.float32)
        rows = max(1, MOST_LOGITS // (tokens.shape[1] * self.config.model.vocab_size))
        result = np.empty((*tokens.shape, self.config.model.vocab_size), np.float32)
        for i in range(0, len(tokens), rows):
            result[i : i + rows] = _log_probs(self.parameters, tokens[i : i + rows], self.config.model)
        return result

    def sample(
        self,
        prompt_tokens: np.ndarray | None = None,
        n: int | None = None,
        cut: int | None = None,
        temperature: float | Sequence[float] = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        seed: int = 0,
        *,
        index: Sequence[int] | None = None,
        progress: Progress = silent,
    ) -> np.ndarray:
        """Draw `n` pictures: uint16 (n, T).

        Args:
            prompt_tokens: (T',) or (B, T'); row i of the result continues prompt i mod B.
            n: pictures in all, a multiple of B (default: B, or 1 without prompts).
            cut: positions before it are copied from the prompt (default: T' if T' < T, else T // 2).
            temperature: 0 is greedy; one number, or one for each row.
            top_k, top_p, min_p: filters, None for off.
            seed: the noise; picture i of a seed is the same whatever is drawn beside it.
            index: number of the picture whose noise a row uses (default: 0 to n - 1).
            progress: told of the positions drawn.

        Raises:
            PixaceError: for arguments that do not fit the model; says which.
        """
        drawn = self.stream(
            prompt_tokens, n, cut, temperature, top_k, top_p, min_p, seed, index=index, progress=progress
        )
        return deque(drawn, maxlen=1).pop()

    def stream(
        self,
        prompt_tokens: np.ndarray | None = None,
        n: int | None = None,
        cut: int | None = None,
        temperature: float | Sequence[float] = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        seed: int = 0,
        *,
        index: Sequence[int] | None = None,
        chunk: int | None = None,
        progress: Progress = silent,
    ) -> Iterator[np.ndarray]:
        """Like `sample`, but yields the unfinished pictures too, after every `chunk` positions."""
        length = self.config.model.n_positions
        if prompt_tokens is None:
            prompts = np.zeros((1, 0), np.uint16)
        else:
            prompts = np.atleast_2d(self._checked(prompt_tokens))
        if prompts.ndim != 2 or len(prompts) == 0:
            raise PixaceError(f"prompt_tokens of shape {prompts.shape} are not (T,) or (B, T) with B of 1 or more")
        count = len(prompts) if n is None else _whole("n", n)
        if count < 1 or count % len(prompts):
            raise PixaceError(f"n={count} pictures must be 1 or more, and a multiple of the {len(prompts)} prompts")
        given = prompts.shape[1]
        kept = (given if given < length else length // 2) if cut is None else _whole("cut", cut)
        if not 0 <= kept <= given:
            raise PixaceError(f"cut={kept} must be between 0 and the {given} tokens of the prompt")
        if not 0 <= _whole("seed", seed) < N_SEEDS:
            raise ConfigError(f"seed={seed} must be between 0 and {N_SEEDS - 1}")
        if index is not None and len(index) != count:
            raise PixaceError(f"index holds {len(index)} numbers for {count} pictures")
        _check_settings(temperature, top_k, top_p, min_p, count)
        tokens = np.zeros((count, length), np.uint16)
        tokens[:, :kept] = np.tile(prompts, (count // len(prompts), 1))[:, :kept]
        settings = make_settings(count, temperature, top_k, top_p, min_p, index)
        chunk = chunk or max(1, min(64, length // 8))
        chunks, groups = -(-(length - kept) // chunk), -(-count // self.engine.group)
        for i, drawn in enumerate(self.engine.stream(tokens, kept, settings, seed, chunk)):
            whole, begun = divmod(i, max(chunks, 1))
            done = whole * (length - kept) + min(begun * chunk, length - kept)
            progress(done, max(groups * (length - kept), 1), "pixels")
            yield drawn

    def _checked(self, tokens: np.ndarray) -> np.ndarray:
        tokens, model = np.asarray(tokens), self.config.model
        if not np.issubdtype(tokens.dtype, np.integer):
            raise PixaceError(f"tokens must be integers, not {tokens.dtype}")
        if tokens.ndim == 0:
            raise PixaceError("tokens are an array (T,) or (B, T), not a single number")
        if tokens.shape[-1] > model.n_positions:
            raise PixaceError(f"{tokens.shape[-1]} tokens are more than the model's {model.n_positions}")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= model.vocab_size):
            raise PixaceError(f"token ids must be in [0, {model.vocab_size}), found {tokens.min()} to {tokens.max()}")
        return tokens


@partial(jax.jit, static_argnums=2)
def _log_probs(parameters: Parameters, tokens: jax.Array, config: ModelConfig) -> jax.Array:
    return log_probs(parameters, config, tokens.astype(jnp.int32))


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ConfigError(f"{name}={value!r} must be a whole number") from None


def _check_settings(temperature: Any, top_k: Any, top_p: Any, min_p: Any, count: int) -> None:
    values = np.atleast_1d(np.asarray(temperature, np.float64))
    if values.shape not in ((1,), (count,)) or not np.all((values >= 0) & (values <= HOTTEST)):
        raise ConfigError(
            f"temperature={temperature} must be from 0 to {HOTTEST:g}: one number, or one for each of {count} pictures"
        )
    if top_k is not None and not 1 <= _whole("top_k", top_k) < 2**31:
        raise ConfigError(f"top_k={top_k} must be at least 1 and below {2**31}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ConfigError(f"top_p={top_p} must be above 0 and at most 1")
    if min_p is not None and not 0 <= min_p <= 1:
        raise ConfigError(f"min_p={min_p} must be between 0 and 1")
