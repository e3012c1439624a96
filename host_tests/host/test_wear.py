"""The flash of the smallest board lasts ten years, with every setting."""

import argparse
from collections.abc import Callable

import pytest

from tools.bench import wear


def test_days_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    wear.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--days", "0"])
    assert "1 or more" in capsys.readouterr().err


@pytest.mark.timeout(300)
@pytest.mark.parametrize("hold", [300, 0])
def test_the_smallest_boards_flash_lasts_ten_years_with_an_hour_without_link_every_day(hold: int, figure: Callable[[str], None]) -> None:
    blocks, progsize = wear.BOARDS["rp2040"]
    case = {"blocks": blocks, "progsize": progsize, "used": 400 * 1024, "every": 30, "size": 250, "hold": hold}
    found = wear.measure(case | {"outage": 3600, "days": 10, "boots": 2})
    worst, even = wear.years(found["worst"] / 10), wear.years(found["erases"] / 10, found["free"])
    figure(
        f"RP2040, spool_hold {hold} s: {found['erases'] / 10:.1f} erases a day, {even:,.0f} years evenly, {worst:,.0f} for the worst block"
    )
    assert worst >= 10 and even >= 10
