"""The Noto emoji: which of its pictures are variants of one another, and the split that training and testing share.

More than half of the files are another skin tone or gender of a picture that is there too. A split by files would
put variants of one picture on both sides; this one is by families.
"""

import hashlib
import os

SKIN_TONES = {f"{code:x}" for code in range(0x1F3FB, 0x1F3FF + 1)}
JOINER, VARIATION_SELECTOR = "200d", "fe0f"
GENDERS = {"2640", "2642"}
HELD_OUT_OF = 10  # one family in so many is held out


def family(name: str | os.PathLike) -> str:
    """The family of a file such as `emoji_u1f3c4_1f3fb_200d_2640.png`: here `1f3c4`.

    That is its code points without skin tones, joiners, gender signs and variation selectors; a picture of nothing
    but these, such as a skin tone itself, is a family of its own.
    """
    codes = os.path.basename(name).partition(".")[0].removeprefix("emoji_u").split("_")
    left_out = SKIN_TONES | GENDERS | {JOINER, VARIATION_SELECTOR}
    return "_".join([code for code in codes if code not in left_out] or codes)


def is_held_out(name: str | os.PathLike) -> bool:
    """Whether a file's family is kept for validation: decided by the family's SHA-256 alone, one in ten."""
    return int.from_bytes(hashlib.sha256(family(name).encode()).digest()[:8]) % HELD_OUT_OF == 0
