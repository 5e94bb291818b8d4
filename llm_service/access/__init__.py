"""Who may do how much: keys, limits per key, and a guard per client address."""
