"""A hub that runs: what its options ask for, its data directory, and its parts, started and stopped in order."""
