"""The smallest of something that is enough, such as a heap, found by trying."""

from collections.abc import Callable

_TRIES = 3  # at most, of a number that decides


def smallest(low: int, high: int, is_enough: Callable[[int], bool]) -> int:
    """The smallest number above `low` that is enough in most tries, next to one that is not.

    What a program needs of heap differs a little from run to run: an allocation comes before a collection in one, after it in the
    next. So the numbers about the one that was found are tried again. `low` is taken not to be enough, `high` to be; neither is tried.
    """
    bottom, top = low, high
    answers: dict[int, list[bool]] = {}

    def try_once(number: int) -> bool:
        answers.setdefault(number, []).append(is_enough(number))
        return answers[number][-1]

    def is_mostly_enough(number: int) -> bool:
        if number in (bottom, top):
            return number == top
        while max(map(answers.setdefault(number, []).count, (True, False))) <= _TRIES // 2:
            try_once(number)
        return answers[number].count(True) > _TRIES // 2

    while high - low > 1:
        middle = (low + high) // 2
        if try_once(middle):
            high = middle
        else:
            low = middle
    found = high
    while not is_mostly_enough(found):
        found += 1
    while is_mostly_enough(found - 1):
        found -= 1
    return found
