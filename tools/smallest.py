"""The smallest of something that is enough, such as a heap, found by trying."""

from collections.abc import Callable


def smallest(low: int, high: int, is_enough: Callable[[int], bool]) -> int:
    """The smallest number above `low` that is enough. `low` is taken not to be, `high` to be; neither is tried."""
    while high - low > 1:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return high
