"""What an evaluation found, and how it is said: a table for people, an object for programs, scalars for TensorBoard."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pixace.evaluation.copies import Copies
from pixace.evaluation.fidelity import Fidelity
from pixace.evaluation.likelihood import Estimate, Likelihood
from pixace.evaluation.patches import PatchDistance


@dataclass(frozen=True)
class Drawn:
    """The drawn pictures and what was found of them.

    `source` says where they come from. `patches` is None where there are too few real pictures to compare with,
    `copies` where the training pictures are not known.
    """

    pictures: int
    source: str
    patches: PatchDistance | None
    copies: Copies | None


@dataclass(frozen=True)
class Evaluation:
    """All figures of a model on a set of pictures.

    Attributes:
        model, step: the model's folder or file, and the training step of its weights.
        images: which pictures, for people; `pictures` is their number, `skipped` lists files left out, with reasons.
        tokens: size and colours of a picture, for people.
        likelihood: of the tokens.
        cell_bits: mean log2 of the number of 8-bit colours in a token's cell.
        bits_a_dimension: of the 8-bit pictures at the model's size, as `pixace.evaluation.cells` says.
        fidelity: what tokenizing alone costs.
        drawn: figures of drawn pictures; None if none were wanted.
        loss_map: mean loss of each pixel, float64 (S, S) in nats.
        files: what was written.
    """

    model: str
    step: int
    images: str
    pictures: int
    skipped: tuple[tuple[str, str], ...]
    tokens: str
    likelihood: Likelihood
    cell_bits: Estimate
    bits_a_dimension: Estimate
    fidelity: Fidelity
    drawn: Drawn | None
    loss_map: np.ndarray = field(compare=False, repr=False)
    files: tuple[Path, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values; infinite ones are None, and the loss map is left out."""
        shallow = dataclasses.replace(self, loss_map=np.zeros(0))
        values = dataclasses.asdict(shallow)
        del values["loss_map"]
        return _plain(values)

    def scalars(self) -> dict[str, float]:
        """The figures that are worth a curve, by the tag they have in TensorBoard."""
        known = self.likelihood
        values = {
            "nats_a_token": known.nats_a_token.mean,
            "bits_a_pixel": known.bits_a_pixel.mean,
            "bits_a_dimension": self.bits_a_dimension.mean,
            "perplexity": known.perplexity,
            "accuracy": known.accuracy.mean,
            "picture_accuracy": known.picture_accuracy.mean,
            "tokenizer_psnr": self.fidelity.psnr,
        }
        if self.drawn and self.drawn.patches:
            values |= {"patch_distance": self.drawn.patches.distance, "patch_baseline": self.drawn.patches.baseline}
        if self.drawn and self.drawn.copies:
            copies = self.drawn.copies
            values |= {"copies_near": copies.near, "copies_duplicates": float(copies.duplicates)}
        return {tag: value for tag, value in values.items() if math.isfinite(value)}

    def table(self) -> str:
        """The figures as text."""
        known, f = self.likelihood, self.fidelity
        n_skipped = len(self.skipped)
        skipped = f", {n_skipped:,} file{'s' * (n_skipped > 1)} skipped" if n_skipped else ""
        lines = [
            f"{self.model}, step {self.step:,}",
            f"{self.pictures:,} pictures ({self.images}), {self.tokens}{skipped}",
            "",
            "likelihood (mean over pictures ± standard error)",
            _row("nats a token", _estimate(known.nats_a_token)),
            _row("bits a pixel", _estimate(known.bits_a_pixel)),
            _row("bits a dimension of tokens", _estimate(known.bits_a_dimension_of_tokens)),
            _row("8-bit bits a dimension", f"{_estimate(self.bits_a_dimension)}, bound"),
            _row("", f"(bits a pixel + {self.cell_bits.mean:.3f} bits of 8-bit colours in a token's cell) / 3"),
            _row("perplexity", f"{known.perplexity:.4g}"),
            _row("tokens right", _percent(known.accuracy)),
            _row("whole pictures right", _percent(known.picture_accuracy)),
            "",
            "tokenizer",
            _row("PSNR", f"{_decibels(f.psnr)}, pictures {_decibels(f.lowest)} to {_decibels(f.highest)}"),
        ]
        if self.drawn is not None:
            lines += ["", f"{self.drawn.pictures:,} drawn pictures ({self.drawn.source})", *_drawn_lines(self.drawn)]
        return "\n".join(lines)


def _drawn_lines(drawn: Drawn) -> list[str]:
    lines = []
    if patches := drawn.patches:
        lines.append("  sliced Wasserstein distance of patches x 1000, and that of real pictures from real ones")
        entries = [(f"level of {level.edge}x{level.edge} pixels", level) for level in patches.levels]
        for label, entry in [*entries, (f"mean, {patches.pictures:,} pictures a side", patches)]:
            lines.append(_row(f"  {label}", f"{entry.distance:.1f} (real {entry.baseline:.1f})"))
    if copies := drawn.copies:
        lines += [
            f"  distance from the nearest of {copies.training_pictures:,} training pictures, RMS in levels of 255",
            _row("  half lie within", f"{copies.median:.2f} (held out {copies.held_out_median:.2f})"),
            _row(
                f"  nearer than {copies.threshold:.2f}",
                f"{copies.near:.1%} (by chance {copies.chance:.1%}; the 1st percentile of "
                f"{copies.held_out_pictures:,} held-out ones)",
            ),
            _row("  exact duplicates", f"{copies.duplicates:,} (held out {copies.held_out_duplicates:,})"),
            _row("  verdict", copies.verdict),
        ]
    return lines


def _row(label: str, value: str) -> str:
    return f"  {label:32}{value}"


def _estimate(value: Estimate) -> str:
    return f"{value.mean:.4f}" + ("" if value.error is None else f" ± {value.error:.4f}")


def _percent(value: Estimate) -> str:
    return f"{100 * value.mean:.2f} %" + ("" if value.error is None else f" ± {100 * value.error:.2f}")


def _decibels(value: float) -> str:
    return f"{value:.2f} dB" if math.isfinite(value) else "no loss"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
