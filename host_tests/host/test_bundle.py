"""`redpoll bundle`: keys, building, what is in a bundle, and everything that is not one."""

import errno
import hashlib
import io
import json
import os
import random
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from firmware_images import esp_image
from interpreters import INTERPRETERS, run

from tools import keys
from tools.board.firmware import firmware_files
from tools.board.profile import Profile
from tools.bundle import archive, contents, plan
from tools.bundle.archive import BundleError
from tools.cli import main as redpoll
from tools.paths import ROOT
from tools.vm import find_vm

Shown = pytest.CaptureFixture[str]

ABOUT: dict[str, Any] = {"name": "lamp", "version": "1.2.0", "boards": ["unix"], "micropython": "1.24.0", "mpy": 6}
FILES = {"main.py": b"print(1)\n" * 40, "redpoll/agent.mpy": bytes(range(256)), "www/a.txt": b"", "www/b.txt": b"b"}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "update.key"
    assert redpoll(["bundle", "keygen", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def key(key_file: Path) -> rsa.RSAPrivateKey:
    return keys.load_private(key_file)


@pytest.fixture(scope="module")
def packed(key: rsa.RSAPrivateKey) -> bytes:
    return archive.pack(FILES, key, **ABOUT)


@pytest.fixture
def product(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "lamp"
    (folder / "www").mkdir(parents=True)
    (folder / "main.py").write_text('"""Not needed."""\nimport lamp\n')
    (folder / "lamp.py").write_text('def on():\n    """A docstring that costs a board memory."""\n    return 1\n')
    (folder / "www" / "index.html").write_text("<html>")
    return folder


# ---- keys


@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_key_is_for_its_owner_only_and_its_public_half_is_what_the_firmware_reads(bits: int, tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "key"
    assert redpoll(["bundle", "keygen", str(path), "--bits", str(bits)]) == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = capsys.readouterr()
    assert "PRIVATE" not in shown.out + shown.err
    assert shown.out == (tmp_path / "key.pub").read_text()
    script = tmp_path / "load.py"
    script.write_text(f"from redpoll import rsa\nprint(rsa.load({shown.out!r}).bits)\n")
    assert [run(interpreter, str(script)).strip() for interpreter in INTERPRETERS] == [str(bits)] * 2


def test_a_key_is_never_overwritten(key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    before = key_file.read_bytes()
    assert redpoll(["bundle", "keygen", str(key_file)]) == 2
    assert key_file.read_bytes() == before
    (tmp_path / "new.key").write_text("mine")
    assert redpoll(["bundle", "keygen", str(tmp_path / "new.key")]) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["new.key"]


def test_the_public_half_in_place_of_the_private_key_is_told_as_that(product: Path, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    public = tmp_path / "update.key.pub"
    public.write_text(keys.public_pem(keys.load_private(key_file)))
    assert build(product, public, tmp_path / "a.zip") == 2
    assert "holds the public half of a key" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_private_key_that_others_can_reach_is_refused(mode: int, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "key"
    path.write_bytes(key_file.read_bytes())
    path.chmod(mode)
    assert redpoll(["bundle", "build", "--key", str(path), "--version", "1.0.0", "--out", str(tmp_path / "a.zip")]) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


def test_what_is_no_private_key_is_refused_without_being_quoted(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for content in (b"secret words", b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"):
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(ValueError, match="holds no private key") as error:
            keys.load_private(path)
        assert "secret" not in str(error.value) and error.value.__cause__ is None


# ---- the archive


def test_python_reads_a_bundle_as_any_zip(packed: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as unpacked:
        assert unpacked.testzip() is None
        names = unpacked.namelist()
        assert names == ["manifest.json", "manifest.sig", *sorted(FILES)]
        assert {name: unpacked.read(name) for name in names[2:]} == FILES
        for info in unpacked.infolist():
            assert (info.date_time, info.extra, info.comment, info.flag_bits) == ((1980, 1, 1, 0, 0, 0), b"", b"", 0)
        assert [info.compress_type for info in unpacked.infolist()] == [0, 0, 8, 0, 0, 0]


def test_the_manifest_says_where_each_file_begins_behind_the_signature(packed: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(packed)) as unpacked:
        raw, signature = unpacked.read("manifest.json"), unpacked.read("manifest.sig")
    manifest = json.loads(raw)
    assert raw == json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    assert {name: manifest[name] for name in ABOUT} == ABOUT
    assert (manifest["format"], manifest["window"], manifest["size"]) == (1, 10, sum(map(len, FILES.values())))
    base = packed.index(signature) + len(signature)
    for entry in manifest["files"]:
        data = packed[base + entry["offset"] :][: entry["packed"]]
        content = data if entry["method"] == 0 else zlib.decompress(data, -10)
        assert content == FILES[entry["name"]]
        assert (entry["size"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_signature_is_pkcs1_over_the_bytes_of_the_manifest(packed: bytes, key: rsa.RSAPrivateKey) -> None:
    bundle = archive.read(packed)
    key.public_key().verify(bundle.signature, bundle.signed, padding.PKCS1v15(), hashes.SHA256())
    archive.verify(bundle, key.public_key())
    with pytest.raises(BundleError, match="not signed with this key"):
        archive.verify(bundle, rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key())


def test_the_vm_unpacks_what_was_deflated_with_the_window_that_the_manifest_names(key: rsa.RSAPrivateKey) -> None:
    words = random.Random(4).choices(["set", "value", "%d", "\n", "return", "self"], k=5000)
    content = " ".join(words).encode()
    for window in (9, 10, 12):
        bundle = archive.read(archive.pack({"main.py": content}, key, **ABOUT, window=window))
        (data,) = bundle.packed.values()
        assert len(data) < len(content)
        code = f"import deflate, io; print(len(deflate.DeflateIO(io.BytesIO({data!r}), deflate.RAW, {window}).read()))"
        ran = subprocess.run([str(find_vm()), "-c", code], capture_output=True, text=True, check=True, timeout=30)
        assert int(ran.stdout) == len(content)


@pytest.mark.parametrize(
    "name",
    [
        "../main.py", "/main.py", "a/../b", "a//b", "a/", "./a", "a/./b", "", "a b", "a\\b", "a:b", "ä", "a\0", "x" * 101, "MANIFEST.sig",
        "manifest.sig/x",
    ],
)  # fmt: skip
def test_a_name_that_could_lead_elsewhere_is_refused(name: str, key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(BundleError):
        archive.pack({name: b"x"}, key, **ABOUT)


@pytest.mark.parametrize("names", [("a/Main.py", "a/main.py"), ("lib", "lib/x.py"), ("Lib", "lib/x.py")])
def test_names_that_cannot_lie_beside_each_other_are_refused(names: tuple[str, str], key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(BundleError):
        archive.pack(dict.fromkeys(names, b"x"), key, **ABOUT)


def test_a_bundle_has_bounds(key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(BundleError, match="201 files"):
        archive.pack({f"{number}": b"" for number in range(201)}, key, **ABOUT)
    with pytest.raises(BundleError, match="16384 are allowed"):
        archive.pack({f"{number:0>90}": b"" for number in range(120)}, key, **ABOUT)
    with pytest.raises(BundleError, match="needs a file"):
        archive.pack({}, key, **ABOUT)
    for wrong in ({"version": "1.2"}, {"version": "one"}, {"name": "a b"}, {"boards": ["a/b"]}, {"micropython": "1.24"}, {"window": 8}):
        with pytest.raises(BundleError):
            archive.pack(FILES, key, **{**ABOUT, **wrong})


def test_what_cannot_be_used_is_told_with_its_name(product: Path, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    def build(key: Path, version: str, out: Path) -> tuple[int, str]:
        words = ["bundle", "build", str(product), "--key", str(key), "--version", version, "--out", str(out)]
        return redpoll(words), capsys.readouterr().err

    out, nowhere = tmp_path / "out.zip", tmp_path / "nowhere"
    assert build(nowhere, "1.2.0", out) == (2, f"{nowhere}: No such file or directory\n")
    assert build(key_file, "1.2.0", nowhere / "out.zip") == (2, f"{nowhere / 'out.zip'}: No such file or directory\n")
    assert build(key_file, "1.2", out) == (1, "version: it is three numbers such as 1.2.0, or 1.2.0-rc.1 (SemVer 2.0.0), not '1.2'\n")
    out.write_text("text")
    assert redpoll(["bundle", "show", str(out)]) == 1
    assert capsys.readouterr().err == f"{out} is no sound bundle: the first entry is not manifest.json\n"


def test_one_flipped_bit_anywhere_is_found(packed: bytes, key: rsa.RSAPrivateKey, figure: Any) -> None:
    harmless = []
    for at in range(len(packed) * 8):
        damaged = bytearray(packed)
        damaged[at // 8] ^= 1 << at % 8
        try:
            bundle = archive.read(bytes(damaged))
            archive.verify(bundle, key.public_key())
        except BundleError:
            continue
        harmless.append(at // 8)
        assert {name: bundle.content(name) for name in FILES} == FILES
    # the bits that fill up the last byte of a deflate stream say nothing (RFC 1951 §3.2.3)
    assert len(set(harmless)) <= 1 and len(harmless) < 8
    figure(f"{len(packed) * 8 - len(harmless)} of {len(packed) * 8} single flipped bits found, {len(harmless)} change nothing")


def test_a_bundle_that_is_cut_off_or_has_more_is_refused(packed: bytes) -> None:
    for size in range(0, len(packed), 7):
        with pytest.raises(BundleError):
            archive.read(packed[:size])
    with pytest.raises(BundleError, match="more than the files"):
        archive.read(packed + b"x")


def test_an_ordinary_zip_is_no_bundle() -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as ordinary:
        ordinary.writestr("main.py", "print(1)")
    with pytest.raises(BundleError, match="first entry is not manifest.json"):
        archive.read(made.getvalue())


def test_a_file_that_unpacks_to_more_than_was_said_is_refused(key: rsa.RSAPrivateKey) -> None:
    data = bytearray(archive.pack({"bomb": bytes(100_000)}, key, **ABOUT))
    lie = data.replace(b'"size":100000', b'"size":000010').replace(b'"size":000010', b'"size":    10')
    with pytest.raises(BundleError):
        archive.read(bytes(lie))


# ---- building


def build(product: Path, key_file: Path, out: Path, *more: str, version: str = "1.0.0") -> int:
    return redpoll(["bundle", "build", str(product), "--key", str(key_file), "--version", version, "--out", str(out), *more])


def test_a_board_with_a_frozen_agent_gets_the_product_only(product: Path, key_file: Path, tmp_path: Path) -> None:
    assert build(product, key_file, tmp_path / "a.zip", "--board", "rpi_pico_w", "--frozen-agent") == 0
    manifest = archive.read((tmp_path / "a.zip").read_bytes()).manifest
    names = {entry.name for entry in manifest.files}
    assert {"main.py", "lamp.mpy", "board.mpy", "parts.mpy"} <= names
    assert not [name for name in names if name.startswith(("redpoll/", "lib/umqtt/"))]
    assert manifest.boards == ["rp2040", "rpi_pico_w"]


def test_the_same_folder_gives_the_same_bytes(product: Path, key_file: Path, tmp_path: Path) -> None:
    assert build(product, key_file, tmp_path / "a.zip") == 0
    for path in (product / "lamp.py", product / "main.py"):
        os.utime(path, (0, 0))
    assert build(product, key_file, tmp_path / "b.zip") == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_product_comes_with_the_firmware_under_it_as_a_board_has_it(product: Path, key_file: Path, tmp_path: Path) -> None:
    (product / "boot.py").write_text("1/0")
    (product / ".hidden").write_text("")
    assert build(product, key_file, tmp_path / "a.zip") == 0
    bundle = archive.read((tmp_path / "a.zip").read_bytes())
    deployed = {name.lstrip("/") for name in firmware_files(Profile.load("unix"))}
    assert set(bundle.packed) == deployed | {"lamp.mpy", "www/index.html"}
    assert bundle.content("main.py") == (product / "main.py").read_bytes()
    assert bundle.content("lamp.mpy")[:2] == b"M\6" and b"docstring" not in bundle.content("lamp.mpy")
    assert (bundle.manifest.mpy, bundle.manifest.boards) == (6, ["unix"])


def test_every_board_gets_its_board_py_and_what_the_chips_share_also_one_that_is_wired_as_another(product: Path) -> None:
    for profile in map(Profile.load, Profile.names()):
        for sources, ending in ((False, "mpy"), (True, "py")):
            files = contents.collect(product, profile, sources=sources)
            assert f"board.{ending}" in files and (f"parts.{ending}" in files) == profile.is_chip, profile.name
    one, other = (contents.collect(product, Profile.load(name)) for name in ("rpi_pico_w", "rpi_pico2_w"))
    assert one["board.mpy"] == other["board.mpy"]


def test_a_product_may_bring_its_own_firmware_and_board(product: Path, key_file: Path, tmp_path: Path) -> None:
    (product / "redpoll" / "port").mkdir(parents=True)
    (product / "redpoll" / "__init__.py").write_text("mine = 1\n")
    (product / "redpoll" / "port" / "unix.py").write_text("")
    (product / "redpoll" / "port" / "esp32.py").write_text("")
    (product / "board.py").write_text("mine = 1\n")
    assert build(product, key_file, tmp_path / "a.zip") == 0
    bundle = archive.read((tmp_path / "a.zip").read_bytes())
    assert {name for name in bundle.packed if name.startswith("redpoll/")} == {"redpoll/__init__.mpy", "redpoll/port/unix.mpy"}
    assert b"mine" in bundle.content("board.mpy")


def test_sources_stay_sources_when_asked_for(product: Path, key_file: Path, tmp_path: Path) -> None:
    assert build(product, key_file, tmp_path / "a.zip", "--sources", "--any-board") == 0
    bundle = archive.read((tmp_path / "a.zip").read_bytes())
    assert not [name for name in bundle.packed if name.endswith(".mpy")]
    assert {"redpoll/agent.py", "board.py", "lib/umqtt/simple.py", "redpoll/port/chip.py"} <= set(bundle.packed)
    assert "redpoll/port/cpython.py" not in bundle.packed
    assert (bundle.manifest.mpy, bundle.manifest.boards) == (0, [])


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("settings.json", b"{}", "a board's own"),
        ("www/Settings.json", b"{}", "a board's own"),
        ("www/key.pem", b"-----BEGIN RSA PRIVATE KEY-----\n", "a private key"),
        ("grüße.txt", b"", "a relative path"),
        ("LAMP.mpy", b"M\6\0\x1f", "upper and lower case"),
        ("native.mpy", b"M\6\x2a\x1f", "one processor"),
        ("old.mpy", b"M\5\0\x1f", "bytecode version 5"),
        ("wrong.mpy", b"no", "is no .mpy"),
        ("bom.py", b"\xef\xbb\xbfx = 1\n", "bom.py begins with a byte order mark"),
        ("latin.py", b"x = 1\n# gr\xfc\xdfe\n", "latin.py, line 2: it is not UTF-8"),
        ("utf16.py", "x = 1\n".encode("utf-16"), "utf16.py, line 1: it is not UTF-8"),
    ],
)
def test_what_has_no_place_in_a_bundle_is_refused(
    name: str, content: bytes, reason: str, product: Path, key_file: Path, tmp_path: Path, capsys: Shown
) -> None:
    (product / name).write_bytes(content)
    assert build(product, key_file, tmp_path / "a.zip") == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("there", [True, False])
def test_a_link_that_would_be_left_out_is_refused(there: bool, product: Path, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    if there:
        (tmp_path / "shared").mkdir()
    (product / "shared").symlink_to(tmp_path / "shared")
    (product / ".#lamp.py").symlink_to("an editor's lock")
    assert build(product, key_file, tmp_path / "a.zip") == 2
    assert f"{product / 'shared'}: only links to files are followed" in capsys.readouterr().err
    (product / "shared").unlink()
    (product / "other.py").symlink_to(product / "lamp.py")
    assert build(product, key_file, tmp_path / "a.zip") == 0
    assert "other.mpy" in archive.read((tmp_path / "a.zip").read_bytes()).packed


def test_a_folder_that_cannot_be_read_is_told_and_not_left_out(
    product: Path, key_file: Path, tmp_path: Path, capsys: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = os.scandir

    def scandir(folder: Any) -> Any:
        if Path(folder).name == "www":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert build(product, key_file, tmp_path / "a.zip") == 2
    assert f"{product / 'www'}: Permission denied" in capsys.readouterr().err


def test_a_virtual_board_gets_what_a_bundle_has_and_nothing_hidden(product: Path) -> None:
    (product / ".venv").mkdir()
    (product / ".venv" / "host.py").write_text("match 1:\n    case _: pass\n")
    (product / ".#lamp.py").symlink_to("an editor's lock")
    profile = Profile.load("unix")
    assert {name.lstrip("/") for name in firmware_files(profile, product)} == set(contents.collect(product, profile))


def test_more_than_a_bundle_has_is_told_before_it_is_read(product: Path) -> None:
    profile = Profile.load("unix")
    with (product / "log.bin").open("wb") as file:
        file.truncate(1 << 26)
    with pytest.raises(BundleError, match="log.bin: a bundle has at most"):
        contents.collect(product, profile)
    (product / "log.bin").unlink()
    for number in range(200):
        (product / f"{number}.py").write_text("def on(:\n")
    with pytest.raises(BundleError, match="files: a bundle has at most 200"):
        contents.collect(product, profile)


def test_what_does_not_compile_is_told_with_its_file(product: Path, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    for name in ("main.py", "lamp.py"):
        good = (product / name).read_text()
        (product / name).write_text("def on(:\n")
        assert build(product, key_file, tmp_path / "a.zip") == 2
        assert f'File "{name}", line 1' in capsys.readouterr().err
        (product / name).write_text(good)
    assert build(tmp_path / "nowhere", key_file, tmp_path / "a.zip") == 1
    (product / "main.py").unlink()
    assert build(product, key_file, tmp_path / "a.zip") == 1
    assert "has no main.py" in capsys.readouterr().err


# ---- what a board would fetch, and verifying


def test_a_board_fetches_only_what_differs(product: Path, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    old, new = tmp_path / "a.zip", tmp_path / "b.zip"
    assert build(product, key_file, old) == 0
    (product / "lamp.py").write_text("def off():\n    return 0\n")
    (product / "www" / "index.html").rename(product / "www" / "start.html")
    assert build(product, key_file, new, version="1.1.0") == 0
    manifest = archive.read(new.read_bytes()).manifest
    changes = plan.plan(manifest, plan.of_manifest(archive.read(old.read_bytes()).manifest))
    assert [entry.name for entry in changes.fetched] == ["lamp.mpy", "www/start.html"]
    assert changes.gone == ["www/index.html"]
    assert len(changes.copied) == len(manifest.files) - 2
    capsys.readouterr()
    assert redpoll(["bundle", "show", str(new), "--from", str(old)]) == 0
    shown = capsys.readouterr().out
    assert "redpoll 1.1.0" in shown and f"fetches 2 of {len(manifest.files)} files, {changes.fetched_bytes} bytes" in shown
    assert redpoll(["bundle", "show", str(old), "--from", str(product)]) == 0
    assert "fetches 2 of" in capsys.readouterr().out
    assert contents.collect(product, Profile.load("unix")).keys() == {entry.name for entry in manifest.files}


def test_what_is_shown_to_nobody_any_more_is_no_failure(packed: bytes, tmp_path: Path) -> None:
    (tmp_path / "app.zip").write_bytes(packed)
    nobody, end = os.pipe()
    os.close(nobody)
    command = [sys.executable, "-m", "tools.cli", "bundle", "show", str(tmp_path / "app.zip")]
    for buffered in ("", "1"):  # found out at the end, or with the first line
        environment = os.environ | {"PYTHONUNBUFFERED": buffered}
        ended = subprocess.run(command, stdout=end, stderr=subprocess.PIPE, env=environment, cwd=ROOT, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")
    os.close(end)


def test_verify_says_yes_to_the_key_that_signed_and_no_to_another(packed: bytes, key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed)
    assert redpoll(["bundle", "verify", str(path), "--key", f"{key_file}.pub"]) == 0
    assert redpoll(["bundle", "keygen", str(tmp_path / "other")]) == 0
    assert redpoll(["bundle", "verify", str(path), "--key", str(tmp_path / "other.pub")]) == 1
    assert redpoll(["bundle", "verify", str(path), "--key", str(key_file)]) == 2
    path.write_bytes(packed[:-1])
    assert redpoll(["bundle", "verify", str(path), "--key", f"{key_file}.pub"]) == 1
    path.write_bytes(struct.pack("<4s", b"PK\5\6"))
    assert redpoll(["bundle", "verify", str(path), "--key", f"{key_file}.pub"]) == 1
    assert "Traceback" not in capsys.readouterr().err


# ---- a firmware image


def test_a_bundle_of_a_firmware_image_has_that_one_file(key_file: Path, tmp_path: Path, capsys: Shown) -> None:
    data = esp_image(0, 20_000, app=True)
    (tmp_path / "app.bin").write_bytes(data)
    out = tmp_path / "image.zip"
    command = ["bundle", "build", "--image", str(tmp_path / "app.bin"), "--board", "esp32", "--key", str(key_file)]
    assert redpoll([*command, "--version", "1.3.0", "--out", str(out)]) == 0
    bundle = archive.read(out.read_bytes())
    archive.verify(bundle, keys.load_private(key_file).public_key())
    assert bundle.manifest.is_image and bundle.content(archive.IMAGE) == data
    assert (bundle.manifest.boards, bundle.manifest.mpy) == (["esp32"], 0)
    capsys.readouterr()
    assert redpoll(["bundle", "show", str(out)]) == 0
    assert "application partition that does not run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("board", "data", "reason"),
    [
        ("esp32s3", esp_image(9, app=True), "esp32s3 has no second application partition"),
        ("rpi_pico_w", esp_image(0, app=True), "rpi_pico_w has no second application partition"),
        ("esp32", esp_image(9, app=True), "is for the chip esp32s3, esp32 has esp32"),
        ("esp32", esp_image(0), "a whole firmware begins with its bootloader"),
        ("esp32", b"UF2\n" * 100, "does not begin with 0xE9"),
        ("esp32", esp_image(0, app=True)[:-40], "damaged"),
        ("esp32", esp_image(0, app=True).ljust(0x180001, b"\xff"), "an application partition of esp32 1,572,864"),
    ],
    ids=["one-slot", "rp2", "other-chip", "whole-firmware", "uf2", "cut-off", "too-large"],
)
def test_an_image_that_a_board_cannot_be_updated_to_is_refused(
    board: str, data: bytes, reason: str, key_file: Path, tmp_path: Path, capsys: Shown
) -> None:
    path = tmp_path / "app.bin"
    path.write_bytes(data)
    command = ["bundle", "build", "--image", str(path), "--board", board, "--key", str(key_file)]
    assert redpoll([*command, "--version", "1.3.0", "--out", str(tmp_path / "x.zip")]) == 1
    assert f"{path}: " in (shown := capsys.readouterr().err) and reason in shown
    assert not (tmp_path / "x.zip").exists()
