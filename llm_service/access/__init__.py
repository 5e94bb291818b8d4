"""Access control: keys, limits per key, and a guard per client address."""
