"""Power cuts and damage: records, the spool and the whole agent on a real LittleFS in the VM, and on CPython's file system.

A part of the cut points and of the damaged files each time; all of them with REDPOLL_LONG=1 in the environment. What was tried is
printed at the end of the run.
"""

import contextlib
import importlib
from pathlib import Path

import pytest
from faulty_disk import Disk, PowerCut, on_disk
from interpreters import firmware_here
from long_run import LONG
from on_vm import Figure, on_vm

HERE = Path(__file__).resolve().parent


@pytest.mark.timeout(600 if LONG else 300)
@pytest.mark.parametrize("torn", [False, True], ids=["missing", "torn"])
@pytest.mark.parametrize(
    ("scenario", "progsize", "every"),
    [("flash", 256, 16), ("flash", 32, 120), ("agent", 256, 6), ("agent", 32, 10)],
    ids=["flash-rp2", "flash-esp32", "agent-rp2", "agent-esp32"],
)
def test_after_a_power_cut_littlefs_holds_a_valid_state(
    scenario: str, progsize: int, every: int, torn: bool, tmp_path: Path, figure: Figure
) -> None:
    """flash: every durable message, each record old or new. agent: nothing confirmed is lost, no command runs twice."""
    step = 1 if LONG else every
    assert "all valid" in on_vm(
        f"import power_cut; power_cut.sweep('scenario_{scenario}', {progsize}, {torn}, {step}, 0)", tmp_path, figure
    )


@pytest.mark.timeout(600 if LONG else 300)
@pytest.mark.parametrize("torn", [False, True], ids=["missing", "torn"])
@pytest.mark.parametrize("scenario_name", ["flash", "agent"])
def test_after_a_power_cut_cpythons_files_hold_a_valid_state(scenario_name: str, torn: bool, tmp_path: Path, figure: Figure) -> None:
    with firmware_here(HERE):
        scenario = importlib.import_module(f"scenario_{scenario_name}").Scenario
        modules = [importlib.import_module(f"redpoll.flash.{name}") for name in ("record", "spool")]
        port = importlib.import_module("redpoll.port")
        importlib.import_module("redpoll.log").print = lambda *values: None  # type: ignore[attr-defined]

        def live(name: str, cut_at: int) -> tuple[int, int]:
            # how many changes there were, and how many acknowledged messages came again
            folder = tmp_path / name
            folder.mkdir()
            life = scenario(exact=not torn)
            disk = Disk(cut_at, torn)
            with contextlib.chdir(folder):
                with on_disk(disk, modules, port), contextlib.suppress(PowerCut):
                    life.work()
                assert not cut_at or disk.changes >= cut_at - 40
                if cut_at:
                    with on_disk(Disk(1 + cut_at % 23, torn), modules, port), contextlib.suppress(PowerCut):
                        life.resume()
                with on_disk(Disk(), modules, port):
                    life.check()
            return disk.changes, getattr(life, "brought_back", 0)

        changes, _ = live("whole", 0)
        cuts = range(1, changes + 1, 1 if LONG else 10)
        back = [live(str(n), n)[1] for n in cuts]
        figure(
            f"CPython's files, {'last write torn' if torn else 'unsynchronised data gone'}: {len(cuts)} of {changes} cut points tried, "
            f"each with a second cut in the recovery, all valid; "
            f"acknowledged messages that came again: {max(back)} at most, {sum(back) / len(back):.1f} on average"
        )


@pytest.mark.timeout(600 if LONG else 300)
@pytest.mark.parametrize("interpreter", ["cpython", "micropython"])
def test_damaged_files_give_the_value_the_default_or_a_skip(interpreter: str, tmp_path: Path, figure: Figure) -> None:
    times = 20000 if LONG else 500
    if interpreter == "micropython":
        on_vm(f"import fuzz_flash; fuzz_flash.run({times})", tmp_path, figure)
        return
    with firmware_here(HERE), contextlib.chdir(tmp_path):
        fuzz = importlib.import_module("fuzz_flash")
        port = importlib.import_module("redpoll.port")
        port.sync = lambda file: file.flush()  # type: ignore[attr-defined]
        fuzz.print = figure  # type: ignore[attr-defined]
        fuzz.run(times)


@pytest.mark.parametrize("progsize", [32, 256], ids=["esp32", "rp2"])
def test_the_room_that_an_update_asks_for_is_what_its_files_take(progsize: int, tmp_path: Path, figure: Figure) -> None:
    assert "blocks more" in on_vm(f"import flash_estimate; flash_estimate.run({progsize})", tmp_path, figure)


def test_on_a_full_flash_the_oldest_messages_go_and_a_record_keeps_its_old_value(tmp_path: Path, figure: Figure) -> None:
    assert "flash full" in on_vm("import flash_full; flash_full.run()", tmp_path, figure)
