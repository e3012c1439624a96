"""The smallest number that is enough is found, also where trying does not always say the same."""

import itertools

import pytest

from tools.smallest import smallest


@pytest.mark.parametrize("border", [5, 6, 37, 63, 64])
def test_the_smallest_number_that_is_enough_is_found(border):
    assert smallest(4, 64, lambda number: number >= border) == border


@pytest.mark.parametrize("border", [5, 37, 64])
@pytest.mark.parametrize("first", [True, False])
def test_one_answer_that_is_wrong_does_not_change_what_is_found(border, first):
    """Next to the border, where a heap is enough in one run and not in another."""
    for wrong in (border - 2, border - 1, border, border + 1):
        answers = itertools.count()

        def is_enough(number, wrong=wrong, answers=answers):
            right = number >= border
            return not right if number == wrong and next(answers) == (0 if first else 1) else right

        assert smallest(4, 64, is_enough) == border, wrong


def test_the_bounds_are_not_tried():
    tried = set()
    assert smallest(4, 8, lambda number: tried.add(number) or False) == 8
    assert smallest(4, 8, lambda number: tried.add(number) or True) == 5
    assert tried == {5, 6, 7}


def test_a_number_far_from_the_one_that_is_found_is_tried_once():
    tried = []
    smallest(0, 1024, lambda number: tried.append(number) or number >= 700)
    assert tried.count(512) == 1
    assert len(tried) <= 10 + 2
