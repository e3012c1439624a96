"""The Xyte facet, under /xyte: seed 000, seed 001, reference xyte."""
