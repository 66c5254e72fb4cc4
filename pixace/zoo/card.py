"""The card of a published model: what it is, how it was trained, how good it is, and how to get it."""

from dataclasses import dataclass
from pathlib import Path

from pixace.config import RunConfig
from pixace.fields import shown
from pixace.progress import byte_count
from pixace.zoo.index import File
from pixace.zoo.manifest import PICTURE

SQUARED = {"squash": "squashed", "crop": "cropped", "pad": "padded"}


@dataclass(frozen=True)
class Facts:
    """What a card says beside the configuration."""

    name: str
    weights: int
    step: int
    dtype: str
    files: tuple[File, ...]
    figures: dict[str, float]
    seed: int | None
    licence: str | None
    about: str | None


def figures_at(folder: Path, step: int) -> dict[str, float]:
    """The last validation figures of a model's own run up to this step, with their step; {} if there are none."""
    from pixace.tracking import read_metrics

    figures: dict[str, float] = {}
    for line in read_metrics(folder):
        if "val_loss" in line and line["step"] <= step:
            figures = {name: line[name] for name in ("step", "val_loss", "val_bits_per_pixel", "val_accuracy")}
    return figures


def card(config: RunConfig, facts: Facts) -> str:
    """The text of README.md; its head is what the Hugging Face hub reads."""
    tokenizer, model = config.tokenizer, config.model
    edge = tokenizer.image_size
    kind = f"{model.model_type} (--arch={model.arch}), {model.attention} attention"
    rows = [
        ("pictures", f"{edge}x{edge} pixels, {SQUARED[tokenizer.resize]} to a square"),
        ("tokenizer", f"{tokenizer.tokenizer} {shown(tokenizer.bitdepth)} bits, {model.vocab_size:,} token ids"),
        ("model", f"{kind}, width {model.d_model}, {model.n_layers} layers, {model.n_heads} heads"),
        ("weights", f"{facts.weights:,} in {facts.dtype}"),
        ("training", _training(config, facts.step)),
        ("validation", _validation(config, facts)),
    ]
    files = [(file.name, f"{byte_count(file.size or 0)}, SHA-256 `{file.sha256}`") for file in facts.files]
    head = ["---", "library_name: pixace", "tags:", "- image-generation", "- autoregressive"]
    head += [f"license: {facts.licence}"] if facts.licence else []
    picture = []
    if facts.seed is not None:
        picture = [f"![pictures drawn by the model]({PICTURE})", "", f"*Drawn from nothing, seed {facts.seed}.*", ""]
    use = ["pixace download ADDRESS-OF-THIS-FOLDER   # or hf:OWNER/NAME", f"pixace predict --model_name={facts.name}"]
    return "\n".join(
        [
            *[*head, "---", "", f"# {facts.name}", ""],
            f"A model that draws pictures of {edge}x{edge} pixels, one pixel after another, made with pixace.",
            *([facts.about] if facts.about else []),
            *["", *picture, "```sh", *use, "```", "", *_table("", "", rows), "", *_table("file", "", files), ""],
        ]
    )


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> list[str]:
    return [f"| {left} | {right} |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)]


def _training(config: RunConfig, step: int) -> str:
    t = config.training
    if t is None:
        return f"{step:,} steps" if step else "not known"
    parts = [f"{step:,} steps of {t.batch_size} pictures", f"{t.optimizer}", f"seed {t.seed}"]
    parts += [f"learning rate {t.lr:g}"] if t.lr is not None else []
    parts += ["averaged weights"] if t.ema else []
    parts += ["mirrored at random"] if t.flip else []
    return ", ".join(parts)


def _validation(config: RunConfig, facts: Facts) -> str:
    if not (figures := facts.figures):
        return "not measured"
    t = config.training
    apart = t is not None and (t.val_images is not None or t.val_fraction > 0)
    return (
        f"{figures['val_loss']:.3f} nats a token ({figures['val_bits_per_pixel']:.2f} bits a pixel), "
        f"{figures['val_accuracy']:.1%} of tokens right, at step {int(figures['step']):,}, "
        + ("on pictures held out" if apart else "on training pictures")
    )
