"""A sharp large picture of a small drawing: one that, scaled down and tokenised, is the drawing again."""
