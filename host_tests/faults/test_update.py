"""The over-the-air update under power cuts: boot.py, slots and updater on a real LittleFS in the VM.

A part of the cut points each time; all of them with REDPOLL_LONG=1 in the environment. What was tried is printed at the end of the run.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from long_run import LONG
from on_vm import on_vm

from tools.paths import FIRMWARE


@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize("torn", [False, True], ids=["missing", "torn"])
@pytest.mark.parametrize("bad", [False, True], ids=["good", "rolled-back"])
@pytest.mark.parametrize("progsize", [256, 32] if LONG else [256], ids=["rp2", "esp32"] if LONG else ["rp2"])
def test_no_power_cut_bricks_a_board_or_loses_the_end_of_an_update(
    bad: bool, torn: bool, progsize: int, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    every, first = (1, 0) if LONG else (37, 5 + 7 * bad + 13 * torn + (progsize == 32))
    call = f"{str(FIRMWARE / 'boot.py')!r}, {progsize}, {torn}, {bad}, {every}, {first}"
    assert "0 bricks" in on_vm(f"import update_cut; update_cut.sweep({call})", tmp_path, figure, 1800)
