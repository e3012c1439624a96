"""The flash of the smallest board lasts ten years, with every setting (issue 3)."""

import pytest

from tools.bench import wear


@pytest.mark.timeout(300)
@pytest.mark.parametrize("hold", [300, 0])
def test_the_smallest_boards_flash_lasts_ten_years_with_an_hour_without_link_every_day(hold: int) -> None:
    blocks, progsize = wear.BOARDS["rp2040"]
    case = {"blocks": blocks, "progsize": progsize, "used": 400 * 1024, "every": 30, "size": 250, "hold": hold}
    found = wear.measure(case | {"outage": 3600, "days": 10, "boots": 2})
    assert wear.years(found["worst"] / 10) >= 10
    assert wear.years(found["erases"] / 10, found["free"]) >= 10
