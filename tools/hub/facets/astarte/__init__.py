"""The Astarte facet, under /astarte: seed 002, reference edgehog-astarte."""
