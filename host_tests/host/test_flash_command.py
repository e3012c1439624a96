"""`redpoll flash`: which files are taken for which board, what esptool is called with, and the boot drive of an RP2."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from firmware_images import esp_firmware, esp_image, uf2_firmware
from waiting import wait_for

from tools.board.firmware import is_foreign_port
from tools.board.process import Board
from tools.board.profile import Profile
from tools.cli import main as redpoll
from tools.deploy.errors import DeployError, Status
from tools.esp_image import EspImageError, check
from tools.flash import command, uf2
from tools.paths import FIRMWARE

Shown = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", ["esp32", "esp32s3"])
def test_a_whole_firmware_for_the_board_is_taken_and_esptool_reads_it_the_same(name: str, tmp_path: Path) -> None:
    data = esp_firmware(name)
    check(data, Profile.load(name))
    (tmp_path / "app.bin").write_bytes(esp_image(Profile.load(name).firmware["image_chip_id"]))
    ran = subprocess.run(
        [sys.executable, "-m", "esptool", "image-info", str(tmp_path / "app.bin")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0 and "invalid" not in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"<html>not found", "does not begin with 0xE9"),
        (lambda data: esp_firmware("esp32", chip=9), "for the chip esp32s3, esp32 has esp32"),
        (lambda data: data[:0x2000], "no partition table"),
        (lambda data: data[:-30_000], "its application .* is cut off"),
        (lambda data: data[:-5] + b"\0" + data[-4:], "its SHA-256 is wrong"),
        (lambda data: data[:100] + b"\0" + data[101:], "its bootloader is damaged: its checksum"),
        (lambda data: esp_firmware("esp32", vfs=0x1F0000), "flash layout is another one.*'vfs'"),
        (lambda data: data.ljust(0x320000, b"\xff"), "would reach into the file system"),
    ],
)
def test_a_file_that_would_not_run_there_is_refused(change: Callable[[bytes], bytes], said: str) -> None:
    with pytest.raises(EspImageError, match=said):
        check(change(esp_firmware("esp32")), Profile.load("esp32"))


@pytest.mark.parametrize("name", ["rpi_pico_w", "rpi_pico2_w"])
def test_a_uf2_for_the_board_is_taken(name: str) -> None:
    assert uf2.check(uf2_firmware(name), Profile.load(name)) == 20 * 256


def test_the_block_that_stands_before_an_rp2350s_firmware_does_not_count() -> None:
    before = uf2_firmware("rpi_pico2_w", blocks=1, start=0x10FFFF00, family=0xE48BFF57)
    assert uf2.check(before + uf2_firmware("rpi_pico2_w"), Profile.load("rpi_pico2_w")) == 20 * 256


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xe9" * 1024, "no UF2 file"),
        (uf2_firmware("rpi_pico_w")[:-100], "cut off: download"),
        (uf2_firmware("rpi_pico2_w"), "for rp2350"),
        (uf2_firmware("rpi_pico_w")[:-512], "1 of its 20 blocks are missing"),
        (uf2_firmware("rpi_pico_w", start=0x10000000 + 0x12C000), "into the board's file system"),
        (uf2_firmware("rpi_pico_w")[:-4] + b"oops", "block 19 is damaged"),
        (uf2_firmware("rpi_pico_w")[:512] + uf2_firmware("rpi_pico_w", blocks=5)[512:], "block 1 is of a file with 5 blocks, not 20"),
        (uf2_firmware("rpi_pico_w", blocks=1)[:20] + b"\7" + uf2_firmware("rpi_pico_w", blocks=1)[21:], "block 0 is damaged"),
    ],
)
def test_a_uf2_that_would_not_run_there_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(DeployError, match=said):
        uf2.check(data, Profile.load("rpi_pico_w"))


def test_a_wrong_file_is_refused_before_anything_is_run(tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("esptool was run"))
    (tmp_path / "s3.bin").write_bytes(esp_firmware("esp32s3"))
    status = redpoll(["flash", "--board", "esp32", "--firmware", str(tmp_path / "s3.bin"), "--erase", "--port", str(tmp_path / "tty")])
    assert status == Status.REFUSED and "for the chip esp32s3" in capsys.readouterr().err


def test_a_dry_run_shows_the_command(tmp_path: Path, capsys: Shown) -> None:
    (tmp_path / "fw.bin").write_bytes(esp_firmware("esp32"))
    assert redpoll(["flash", "--board", "esp32", "--firmware", str(tmp_path / "fw.bin"), "--dry-run", "--port", "/dev/ttyX"]) == 0
    told = capsys.readouterr().out
    assert f"esptool --chip esp32 --port /dev/ttyX --baud 460800 write-flash 0x1000 {tmp_path / 'fw.bin'}" in told
    assert "the file system with its settings stays" in told


def test_esptool_is_asked_for_the_size_first_and_then_writes(tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []
    sizes = iter(["Detected flash size: 2MB\n", "Detected flash size: 4MB\n", ""])

    def run(words: list[str], profile: Profile, port: str, show: object = None) -> str:
        calls.append(words[words.index("--baud") + 2 :])
        return next(sizes)

    monkeypatch.setattr(command, "_run", run)
    monkeypatch.setattr("tools.deploy.ports.usable", lambda port, **_: port)
    (tmp_path / "fw.bin").write_bytes(esp_firmware("esp32"))
    words = ["flash", "--board", "esp32", "--firmware", str(tmp_path / "fw.bin"), "--erase", "--port", "/dev/ttyX"]
    assert redpoll(words) == Status.REFUSED
    assert "has 2 MB of flash" in capsys.readouterr().err
    assert redpoll(words) == 0
    assert calls == [["flash-id"], ["flash-id"], ["write-flash", "--erase-all", "0x1000", str(tmp_path / "fw.bin")]]


def test_the_options_that_are_used_are_esptools(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-m", "esptool", "write-flash", "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "--erase-all" in ran.stdout


@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ("A fatal error occurred: This chip is ESP32-S3, not ESP32. Wrong chip argument?", Status.REFUSED, "is ESP32-S3, esp32 has esp32"),
        ("A fatal error occurred: Failed to connect to ESP32: No serial data received.", Status.NO_PORT, "Hold its BOOT button"),
        ("A fatal error occurred: Serial data stream stopped", Status.CUT, "Serial data stream stopped"),
    ],
)
def test_what_esptool_says_becomes_what_to_do(said: str, status: Status, told: str) -> None:
    error = command.explained(f"esptool v5.6.0\n{said}\n\n", Profile.load("esp32"), "/dev/ttyX")
    assert error.status == status and told in str(error)


# ---- the boot drive


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text("UF2 Bootloader v3.0\nModel: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n")
    return folder


def test_a_uf2_is_copied_to_the_drive_and_the_board_takes_it(tmp_path: Path, drive: Path, capsys: Shown) -> None:
    data = uf2_firmware("rpi_pico_w", blocks=600)
    (tmp_path / "fw.uf2").write_bytes(data)
    target = drive / "firmware.uf2"

    def take() -> None:
        wait_for(lambda: target.exists() and target.stat().st_size == len(data), 10)
        (drive / "INFO_UF2.TXT").unlink()  # the drive is gone

    board = threading.Thread(target=take)
    board.start()
    try:
        assert redpoll(["flash", "--board", "rpi_pico_w", "--firmware", str(tmp_path / "fw.uf2"), "--drive", str(drive)]) == 0
    finally:
        board.join()
    assert target.read_bytes() == data and "redpoll provision" in capsys.readouterr().out


def test_a_board_that_does_not_take_it_is_told(drive: Path) -> None:
    with pytest.raises(DeployError, match="has not taken the firmware") as error:
        uf2.copy(uf2_firmware("rpi_pico_w"), drive, Profile.load("rpi_pico_w"), seconds=0)
    assert error.value.status is Status.CUT


def test_the_drive_is_found_by_what_it_says_of_itself(tmp_path: Path, drive: Path) -> None:
    assert uf2.find_drive(Profile.load("rpi_pico_w"), [tmp_path, drive]) == drive
    for name, mounts, said in (
        ("rpi_pico2_w", [drive], "hold BOOTSEL"),
        ("rpi_pico_w", [], "hold BOOTSEL"),
        ("rpi_pico_w", [drive, drive], "say which"),
    ):
        with pytest.raises(DeployError, match=said):
            uf2.find_drive(Profile.load(name), mounts)


def test_a_drive_of_another_board_is_refused(tmp_path: Path, drive: Path, capsys: Shown) -> None:
    (tmp_path / "fw.uf2").write_bytes(uf2_firmware("rpi_pico2_w"))
    assert redpoll(["flash", "--board", "rpi_pico2_w", "--firmware", str(tmp_path / "fw.uf2"), "--drive", str(drive)]) == Status.NO_PORT
    assert "is not the boot drive of rpi_pico2_w" in capsys.readouterr().err


def test_a_board_that_runs_micropython_goes_to_its_boot_drive_by_itself(
    tmp_path: Path, drive: Path, flashed: Callable[..., Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = flashed("rpi_pico_w")
    (tmp_path / "fw.uf2").write_bytes(uf2_firmware("rpi_pico_w"))
    monkeypatch.setattr(uf2, "_mounts", lambda: [drive] if board._environment().kept.sleep else [])  # it has ended for good

    def unplug(*_: object) -> None:
        (drive / "INFO_UF2.TXT").unlink()

    monkeypatch.setattr(uf2.os, "fsync", unplug)  # with the last block the drive is gone
    assert redpoll(["flash", "--board", "rpi_pico_w", "--firmware", str(tmp_path / "fw.uf2"), "--port", str(board.port)]) == 0
    assert (drive / "firmware.uf2").read_bytes() == uf2_firmware("rpi_pico_w")


@pytest.mark.parametrize("profile", ["esp32", "rpi_pico2_w"])
def test_a_board_with_another_chip_is_not_sent_to_a_boot_drive_and_goes_on(
    profile: str, tmp_path: Path, flashed: Callable[..., Board], capsys: Shown
) -> None:
    board = flashed(profile, {"main.py": b"print('as before')\n"})
    (tmp_path / "fw.uf2").write_bytes(uf2_firmware("rpi_pico_w"))
    since = board.line_count
    flash = ["flash", "--board", "rpi_pico_w", "--firmware", str(tmp_path / "fw.uf2"), "--port", str(board.port)]
    assert redpoll(flash) == Status.REFUSED
    assert "rpi_pico_w has the chip rp2040" in capsys.readouterr().err
    board.wait_for("as before", 20, since)


def test_the_virtual_board_has_nothing_to_flash(tmp_path: Path, capsys: Shown) -> None:
    (tmp_path / "fw").write_bytes(b"x")
    assert redpoll(["flash", "--board", "unix", "--firmware", str(tmp_path / "fw")]) == Status.REFUSED
    assert "redpoll board up" in capsys.readouterr().err


# ---- redpoll boards


def test_boards_are_listed_with_chip_flash_heap_and_what_to_buy(capsys: Shown) -> None:
    assert redpoll(["boards"]) == 0
    listed = capsys.readouterr().out
    for name in Profile.names():
        assert name in listed
        assert redpoll(["boards", name]) == 0
        told = capsys.readouterr().out
        profile = Profile.load(name)
        assert profile.chip in told and profile.heap in told
        assert not profile.is_chip or ("  buy " in told and (profile.folder / "README.md").is_file())
    assert redpoll(["boards", "nonesuch"]) == 2


@pytest.mark.parametrize("name", [name for name in Profile.names() if Profile.load(name).is_chip])
def test_a_boards_manifest_freezes_the_whole_agent_of_its_port(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frozen: list[Path] = []
    required: list[str] = []

    class Options:
        def defaults(self, **values: str) -> None:
            for key, value in values.items():
                setattr(self, key, getattr(self, key, value))

    def include(path: str, **values: str) -> None:
        if path.startswith("$("):
            return  # MicroPython's own
        monkeypatch.chdir(Path(path).resolve().parent)
        options = Options()
        vars(options).update(values)
        names = {"include": include, "require": lambda name: required.append(name), "package": package, "options": options}
        exec(Path(path).name and Path(Path(path).name).read_text(), names)

    def package(package_path: str, files: list[str], base_path: str, opt: int) -> None:
        frozen.extend(Path(base_path, package_path, file).resolve(strict=True) for file in files)

    include(str(Profile.load(name).folder / "manifest.py"))
    profile = Profile.load(name)
    deployed = {path for path in (FIRMWARE / "redpoll" / "port").glob("*.py") if not is_foreign_port(f"redpoll/port/{path.name}", profile)}
    assert {path for path in frozen if path.parent.name == "port"} == deployed
    assert {"agent", "mqtt", "slots"} <= {path.stem for path in frozen} and required == ["umqtt.simple"]
