"""Whether the exhaustive sweeps run in full, as `make test-long` has them, or a part that stands for them."""

import os

LONG = bool(os.environ.get("REDPOLL_LONG"))
