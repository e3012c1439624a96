"""One file a revision; see tools/hub/store/migrations/__init__.py."""
