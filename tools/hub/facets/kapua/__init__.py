"""The Kapua facet, under /kapua/v1, and what boards tell as Kura would: seed 004, reference kapua-kura."""
