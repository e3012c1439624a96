"""How much hypothesis tries: the same examples in each run, other ones in the long run."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings

LONG = bool(os.environ.get("REDPOLL_LONG"))


def bounded(examples: int, **more: Any) -> settings:
    """Settings for so many examples, without a deadline nor a database; `more` is what hypothesis.settings takes."""
    return settings(
        max_examples=examples,
        derandomize=not LONG,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        **more,
    )
