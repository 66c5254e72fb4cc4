"""Pictures guided by words: YAML files of what is wanted, and the descent that follows them."""
