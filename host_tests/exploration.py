"""How much hypothesis tries: the same examples in each run, other ones in the long run."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from long_run import LONG


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
