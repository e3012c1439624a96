"""Measurements: each figure that is claimed is printed by a command here."""
