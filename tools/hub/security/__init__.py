"""Keys, certificates and tokens: who may, and how that is shown."""
