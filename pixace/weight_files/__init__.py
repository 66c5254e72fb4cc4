"""Arrays in files of other makers: safetensors, NumPy, torch; listed by name, and read one at a time."""
