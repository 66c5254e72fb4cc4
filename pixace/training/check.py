"""`pixace train --check`: can this model learn at all? It overfits one batch, in under a minute."""

import dataclasses
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pixace import devices as device_choice
from pixace.errors import PixaceError
from pixace.ops.attention import choose_implementation
from pixace.progress import Bar
from pixace.sources.finding import find_source
from pixace.tokenizer import Tokenizer
from pixace.training.settings import resolve
from pixace.training.step import init_state, train_step

SECONDS, MOST_PICTURES, MOST_STEPS = 40.0, 4, 200
GOOD_SHARE = 0.5  # of the batch's unigram entropy: below it the model has used order and place


def unigram_entropy(tokens: np.ndarray) -> float:
    """Nats a token of the best guess that knows only how often each token occurs."""
    counts = np.bincount(np.asarray(tokens).reshape(-1))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _first_pictures(images: str, tokenizer: Tokenizer) -> np.ndarray:
    """Tokens (N, T) of the first pictures that can be read, `MOST_PICTURES` at most."""
    found: list[np.ndarray] = []
    source = find_source(images)
    with Bar("looking for pictures") as bar:
        source.count(bar)
    for picture in source.pictures():
        try:
            if isinstance(picture.content, PixaceError):
                raise picture.content
            found.append(tokenizer.encode(picture.content))
        except PixaceError as error:
            last = error
        if len(found) == MOST_PICTURES:
            break
    if not found:
        raise PixaceError(f"none of the pictures in {images} can be read; the last: {last}")
    return np.stack(found)


def check(weights_dir: str | Path, *, device: str = "auto", deterministic: bool = False, **given: Any) -> bool:
    """Overfit one batch with these options; prints what came of it, returns whether the model learns.

    Writes nothing into the model's folder. Fewer pictures are taken where a step is slow.
    """
    say = partial(print, file=sys.stderr, flush=True)
    device_choice.prepare(device, deterministic)
    found = device_choice.find_devices(device)
    say(device_choice.describe(found[:1]))
    config, _ = resolve(None, {**given, "n_steps": MOST_STEPS}, Path(weights_dir))
    model = dataclasses.replace(
        config.model, dropout=0.0, attention_dropout=0.0, position_dropout=0.0, output_dropout=0.0
    )
    assert config.training is not None
    training = dataclasses.replace(config.training, warmup_steps=10, ema=False, weight_decay=0.0, accumulate=1)
    pictures = _first_pictures(str(training.images), Tokenizer(config.tokenizer))
    implementation = choose_implementation(found[0].platform, model.dtype, model.d_head, model.d_value)
    started = time.monotonic()
    for count in (min(MOST_PICTURES, len(pictures)), 1):
        batch = jnp.asarray(pictures[:count])
        state = jax.jit(partial(init_state, model, training))()
        step = partial(train_step, model, training, implementation)
        state, figures = step(state, batch, jnp.int32(MOST_STEPS))
        first = float(figures[0])
        clock = time.monotonic()
        state, figures = step(state, batch, jnp.int32(MOST_STEPS))
        jax.block_until_ready(figures)
        if count == 1 or time.monotonic() - clock < SECONDS / MOST_STEPS * 2:
            break
    unigram = unigram_entropy(np.asarray(batch))
    say(f"overfitting {count} pictures")
    say(f"loss at step 0: {first:.3f} nats a token (ln V = {math.log(model.vocab_size):.3f})")
    loss, done = first, 2
    with Bar("checking") as bar:
        while done < MOST_STEPS and time.monotonic() - started < SECONDS and loss > 0.1 * unigram:
            state, figures = step(state, batch, jnp.int32(MOST_STEPS))
            loss, done = float(figures[0]), done + 1
            bar(done, MOST_STEPS, f"loss {loss:.3f}")
    learns = loss < GOOD_SHARE * max(unigram, 0.1)  # pictures of one colour have no entropy
    verdict = "the model learns" if learns else "NOT shown: the model does not learn, or is too slow here to tell"
    print(
        f"{verdict}: loss {first:.3f} -> {loss:.3f} nats a token in {done} steps "
        f"(knowing only how often each colour occurs: {unigram:.3f})"
    )
    return learns
