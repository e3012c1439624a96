"""One file a revision; see tools/hub/migrations/__init__.py."""
