"""How long sequences are cut, so that scores and logits never exist whole: sizes of blocks and chunks."""

SMALLEST_BLOCK, LARGEST_BLOCK = 64, 256  # queries a block of attention; an eighth of the positions between these
CHUNK_LOGITS = 2**24  # at most so many logits (64 MiB in float32) exist at a time


def block_length(length: int) -> int:
    """Queries in a block of full attention over `length` positions."""
    return min(max(length // 8, SMALLEST_BLOCK), LARGEST_BLOCK)


def chunk_length(length: int, logits_per_position: int) -> int:
    """Positions in a chunk of the loss: the largest divisor of `length` whose logits stay within the bound (or 1)."""
    most = max(1, CHUNK_LOGITS // logits_per_position)
    return next(d for d in range(min(most, length), 0, -1) if length % d == 0)
