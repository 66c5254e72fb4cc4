"""Training a small CLIP on pictures and their names."""
