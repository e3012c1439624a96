# Bundles read as a stream: what is taken, and what is found out.
import io

import bundle_maker as maker
import scratch
from redpoll import rsa
from redpoll.port.interpreter import VERSION
from redpoll.update import bundle
from redpoll.update.bundle import Entries
from redpoll.update.errors import BadBundle
from redpoll.update.manifest import Checked, Head
from redpoll.update.unpack import Unpacker
from support import raises

HEAP = "512K"
FILES = [
    ("main.py", b"print('hello')\n"),
    ("lib/readings.py", maker.TEXT),
    ("redpoll/a.mpy", bytes(range(256)) * 9),
    ("z.txt", b"z" * 3000),
]


def take(data, step=1000):
    """The beginning of a bundle through Head and Checked -> (about, checked, head)."""
    checked = Checked()
    head = Head(checked.feed)
    for at in range(0, len(data), step):
        if head.feed(memoryview(data)[at : at + step]):
            break
    if not head.done:
        raise BadBundle("the bundle ends too early")
    return checked.end(rsa.load(maker.KEY), head.signature), checked, head


def refused(data):
    return scratch.text_of(BadBundle, take, data)


class signed_well:
    """Within the block every signature is good: making them takes long on the VM."""

    def __enter__(self):
        self._before = rsa.verify, maker.rsa_vectors.sign
        rsa.verify = lambda key, digest, signature: None
        maker.rsa_vectors.sign = lambda data: bytes(256)

    def __exit__(self, kind, value, traceback):
        rsa.verify, maker.rsa_vectors.sign = self._before


def test_a_sound_bundle_is_taken_whatever_the_size_of_its_pieces():
    data = maker.make(FILES)
    signed, body = maker.manifest(FILES)
    for step in (1, 7, 100, 1000, len(data)):
        about, checked, head = take(data, step)
        assert about["version"] == "1.1.0" and about["files"] == []
        assert checked.files == 4
        assert data[head.size :].startswith(body)
        assert head.need() <= len(data)


def test_the_need_of_a_head_leads_straight_to_its_end():
    with signed_well():
        signed, body = maker.manifest(FILES)
        data = maker.assemble(signed, body)
        head = Head(lambda piece: None)
        n = head.need()
        assert n == 43 and head.feed(data[:43]) is False
        n = head.need()
        assert n == len(signed) + 42 + 256 and head.feed(data[43 : 43 + n + 1]) is True
        assert head.size == 43 + n and head.need() == 0 and head.done


def test_each_flipped_bit_of_manifest_and_signature_is_found():
    data = maker.make(FILES[:1])
    _, _, head = take(data)
    second = 43 + len(maker.manifest(FILES[:1])[0])
    # of a ZIP header nothing is made of: who made it, flags without a meaning, its date and its CRC
    idle = [4, 5, 6, 7] + list(range(10, 18))
    for at in range(head.size):
        if at in idle or at - second in idle:
            continue
        damaged = bytearray(data)
        damaged[at] ^= 1 << at % 8
        with raises(BadBundle):
            take(bytes(damaged))


def test_who_signed_it_decides():
    signed, body = maker.manifest(FILES)
    other, _ = maker.manifest(FILES, "9.9.9")
    for signature in (b"\0" * 256, b"x", bytes(384), maker.rsa_vectors.sign(other), maker.rsa_vectors.sign(signed)[:-1]):
        assert "signature" in refused(maker.assemble(signed, body, signature))
    with raises(BadBundle):
        take(maker.assemble(signed, body, b""))


def test_names_that_lead_elsewhere_are_refused():
    with signed_well():
        for name in ("../x", "a/../../x", "/x", "a//x", "./x", "a/", "", "a\\x", "C:x", "a b", "\u00e9", "x" * 101, "a/..", "boot\0"):
            signed, body = maker.manifest([(name, b"x")])
            assert "name" in refused(maker.assemble(signed, body)), name
        take(maker.make([("x" * 100, b"x"), ("a/..b", b"x"), ("...", b"x")]))


def test_names_that_are_one_are_refused():
    with signed_well():
        for names in (("a", "a"), ("a/b", "A/b"), ("x.py", "X.PY")):
            assert "two files" in refused(maker.make([(name, b"x") for name in names]))
        for name in ("manifest.json", "MANIFEST.SIG", "manifest.sig/x", "Manifest.json/x/y"):
            assert "two files" in refused(maker.make([(name, b"x")]))


def test_fields_that_are_wrong_or_missing_are_refused():
    with signed_well():
        for said, *fields in (
            ("format 2 is not known", {"format": 2}),
            ("format None is not known", {"format": None}),
            ("do not add up", {"size": 1}, {"size": None}, {"size": "5"}, {"size": -1}, {"files": []}, {"files": [], "size": 0}),
            ("window is wrong", {"window": 16}, {"window": 7}, {"window": "10"}, {"window": None}),
            ("version: ", {"version": "next"}, {"version": 3}, {"micropython": "?"}, {"micropython": None}),
            ("it needs MicroPython 99.0.0", {"micropython": "99.0.0"}),
            ("its bytecode is of version", {"mpy": 5}, {"mpy": None}),
            ("name or boards is wrong", {"boards": "esp32"}, {"name": 5}),
            ("longer than it may be", {"boards": ["x" * 2000]}),
        ):
            for wrong in fields:
                assert said in refused(maker.make(FILES, **wrong)), wrong
        for said, *fields in (
            ("its size is wrong", {"size": -1, "method": 8}, {"size": 1.0}, {"size": True}, {"size": (1 << 25) + 1}),
            ("its packed is wrong", {"packed": -1, "method": 8}),
            ("its offset is wrong", {"offset": 1 << 31}, {"offset": -31}),
            ("is not where it should be", {"offset": 0}),
            ("its method is wrong", {"size": 5}, {"packed": 2}, {"method": 1}, {"method": 99}, {"method": "0"}, {"method": False}),
            ("its sha256 is wrong", {"sha256": "x" * 64}, {"sha256": "0" * 63}, {"sha256": None}),
            ("has no name", {"name": ["a"]}),
        ):
            for wrong in fields:
                entry = maker.entry("a", b"x", offset=31)
                entry.update(wrong)
                assert said in refused(maker.make([("a", b"x")], files=[entry])), wrong
        for gone in ("name", "size", "sha256", "packed", "method", "offset"):
            entry = maker.entry("a", b"x", offset=31)
            del entry[gone]
            assert "no " + gone in refused(maker.make([("a", b"x")], files=[entry]))


def test_what_needs_just_this_micropython_is_taken():
    with signed_well():
        own = "%d.%d.%d" % VERSION
        assert take(maker.make(FILES, micropython=own))[0]["micropython"] == own


def test_an_image_is_a_bundle_of_nothing_but_it():
    with signed_well():
        image = ("firmware.bin", b"\xe9")
        assert take(maker.make([image]))[1].image["name"] == "firmware.bin"
        for files in ([("main.py", b"x")], [image, ("main.py", b"x")], [("a.py", b"x"), image]):
            assert take(maker.make(files))[1].image is None


def test_a_name_is_found_by_all_of_what_is_remembered_of_it():
    with signed_well():
        checked = take(maker.make(FILES))[1]
        assert checked.has("main.py") and checked.has("Lib/Readings.py") and checked.has("z.txt") and not checked.has("z.tx")
    # that of two names side by side is none of a third
    mark = bytes(checked._marks[3:9])
    assert checked._find(mark) < 0
    checked._marks.extend(mark)
    assert checked._find(mark) == 24


def test_more_than_a_device_can_hold_is_refused_while_it_comes():
    with signed_well():
        files = [("f%03d" % n, b"") for n in range(200)]
        # no more than 16 KB: names and numbers as short as they are leave 80 bytes a file
        with raises(BadBundle):
            take(maker.make(files))
        checked = Checked()
        scanner = Entries(checked._check)
        offset = 0
        scanner.feed(b'{"boards":[],"files":[')
        with raises(BadBundle) as caught:
            for name, data in files + [("one-more", b"")]:
                offset += 30 + len(name)
                scanner.feed(maker.dumps(maker.entry(name, data, offset=offset)).encode() + b",")
        assert checked.files == 201 and "200 files" in str(caught.value)


def test_files_of_more_than_32_mb_are_refused_as_they_lie_and_as_they_come():
    for size, packed in ((1 << 24, 5), (5, 1 << 24)):
        checked = Checked()
        scanner = Entries(checked._check)
        scanner.feed(b'{"boards":[],"files":[')
        offset = 0
        with raises(BadBundle) as caught:
            for name in ("a", "b", "c"):
                offset += 31
                fields = maker.entry(name, b"", offset=offset)
                fields.update({"size": size, "packed": packed, "method": 8})
                scanner.feed(maker.dumps(fields).encode() + b",")
                offset += packed
        assert "more than 33554432 bytes" in str(caught.value)


def test_a_manifest_of_a_megabyte_is_refused_by_its_header():
    fed = []
    head = Head(fed.append)
    with raises(BadBundle):
        head.feed(maker.header("manifest.json", 0, 1 << 20, 1 << 20) + b"{" * 1000)
    assert not fed
    for text in (
        b"{" * 16000,
        b'{"files":[' + b"[" * 16000,
        b'{"files":[{"' + b"a" * 16000,
        b'{"files":[]' + b" " * 16000,
        b"\xff" * 16000,
    ):
        with raises(BadBundle):
            Entries(None).feed(text)


def test_entries_that_are_not_stored_or_not_plain_are_refused():
    with signed_well():
        signed, body = maker.manifest(FILES)
        sound = maker.assemble(signed, body)
        n = len(signed)
        for head in (
            maker.header("manifest.json", 8, n, n),
            maker.header("manifest.json", 0, n, n, flags=1),
            maker.header("manifest.json", 0, n, n, flags=8),
            maker.header("manifest.json", 0, n, n + 1),
            maker.header("manifest.json", 0, n, n, extra=b"\1\0\x10\0" + bytes(16)),
            maker.header("manifest.json", 0, 0xFFFFFFFF, 0xFFFFFFFF, extra=b"\1\0\x10\0" + bytes(16)),
            maker.header("Manifest.json", 0, n, n),
            maker.header("main.py", 0, n, n),
            maker.header("manifest.json", 0, 0, 0),
            b"\x1f\x8b" + bytes(50),
            b"<html><head><title>404 Not Found</title></head><body></body></html>",
        ):
            refused(head + sound[43:])


def unpack(data, packed=None, method=8, step=1000, unpacker=None, **wrong):
    """What is written of one file."""
    file = io.BytesIO()
    packed = packed if packed is not None else data
    unpacker = unpacker or Unpacker(10)
    unpacker.begin(maker.entry("f", data, packed, method=method, **wrong), file)
    for at in range(0, len(packed), step):
        unpacker.feed(memoryview(packed)[at : at + step])
    unpacker.end()
    return file.getvalue()


def test_files_are_unpacked_from_pieces_of_any_size():
    for step in (1, 3, 64, 1000, 1024):
        assert unpack(maker.TEXT, maker.DEFLATED, step=step) == maker.TEXT
    for size in (0, 1, 255, 256, 257, 1000, 5000, 20000):
        data = bytes([n % 251 for n in range(size)])
        assert unpack(data, method=0) == data
        assert unpack(data, maker.stored_blocks(data)) == data


def test_one_unpacker_takes_file_after_file_and_nothing_of_the_one_before_counts():
    unpacker = Unpacker(10)
    for step in (1000, 7, 1024):
        assert unpack(maker.TEXT, maker.DEFLATED, step=step, unpacker=unpacker) == maker.TEXT
        # what it lacks lies where the file before had it
        with raises(BadBundle):
            unpack(maker.TEXT, maker.DEFLATED[:-1], step=step, unpacker=unpacker)
        assert unpack(b"plain", method=0, unpacker=unpacker) == b"plain"
        with raises(BadBundle):
            unpack(maker.TEXT, b"\xff" * 260, step=step, unpacker=unpacker)


def test_a_stream_that_is_damaged_or_lies_is_found():
    for packed, wrong in (
        (maker.DEFLATED[:-1], {}),
        (maker.DEFLATED + b"\0", {}),
        (maker.DEFLATED + bytes(5000), {}),
        (b"\xff" * 260, {}),
        (b"", {}),
        (maker.DEFLATED, {"size": len(maker.TEXT) - 1}),
        (maker.DEFLATED, {"size": len(maker.TEXT) + 1}),
        (maker.DEFLATED, {"sha256": "0" * 64}),
        # empty blocks without end
        (b"\0\0\0\xff\xff" * 2000, {}),
    ):
        with raises(BadBundle):
            unpack(maker.TEXT, packed, **wrong)
    for at in range(0, len(maker.DEFLATED), 3):
        damaged = bytearray(maker.DEFLATED)
        damaged[at] ^= 0x10
        with raises(BadBundle):
            unpack(maker.TEXT, bytes(damaged))


def test_what_comes_behind_the_end_of_a_stream_is_not_kept():
    unpacker = Unpacker(10)
    unpacker.begin(maker.entry("f", maker.TEXT, len(maker.DEFLATED) + 100000, method=8), io.BytesIO())
    unpacker.feed(maker.DEFLATED)
    fed = 0
    with raises(BadBundle):
        while fed < 90000:
            fed += 1000
            unpacker.feed(bytes(1000))
    assert fed <= 4000


def test_a_full_flash_is_no_damaged_stream():
    class File:
        def write(self, data):
            raise OSError(28, "ENOSPC")

    for method, packed in ((0, maker.TEXT), (8, maker.DEFLATED)):
        unpacker = Unpacker(10)
        unpacker.begin(maker.entry("f", maker.TEXT, packed, method=method), File())
        with raises(OSError) as caught:
            unpacker.feed(packed)
        assert caught.value.errno == 28


def test_a_bomb_is_stopped_where_the_manifest_ends_it():
    # 1 MB of zeros in one kilobyte: a fixed block of "repeat the last byte 258 times"
    written = []

    class File:
        def write(self, data):
            written.append(len(data))

    bomb = bytearray(b"\x63\x60")
    bomb.extend(b"\x18\x05\xa3\x60\x14\x8c\x82\x51\x30" * 120)
    unpacker = Unpacker(10)
    unpacker.begin(maker.entry("f", bytes(100), bytes(bomb), method=8), File())
    with raises(BadBundle):
        for at in range(0, len(bomb), 100):
            unpacker.feed(bytes(bomb[at : at + 100]))
    assert sum(written) <= 100


def test_the_entries_of_a_manifest_on_flash_come_one_by_one():
    signed, _ = maker.manifest(FILES)
    scratch.write("m", signed)
    found = list(bundle.entries("m"))
    assert [entry["name"] for entry in found] == [name for name, _ in FILES]
    assert found[1]["packed"] == len(maker.DEFLATED)


def test_a_header_that_disagrees_with_the_manifest_is_found():
    good = maker.header("a/b", 8, 10, 20)
    bundle.check_header(good, b"a/b", 8, 10, 20)
    for header in (
        maker.header("a/c", 8, 10, 20),
        maker.header("a/b", 0, 10, 20),
        maker.header("a/b", 8, 11, 20),
        maker.header("a/b", 8, 10, 21),
        maker.header("a/b", 8, 10, 20, flags=1),
        maker.header("a/b", 8, 10, 20, flags=8),
        maker.header("a/b", 8, 10, 20, extra=b"1"),
        b"PK\1\2" + good[4:],
        b"",
    ):
        with raises(BadBundle):
            bundle.check_header(header + bytes(max(0, 30 - len(header))), b"a/b", 8, 10, 20)


def test_the_flash_that_a_bundle_needs_counts_each_folder_once():
    files = [
        ("a/b/one.py", b"x" * 5000),
        ("a/b/two.py", b"x" * 129),
        ("a/three.py", b"x" * 128),
        ("c/four.py", b""),
        ("main.py", b"x" * 600),
    ]
    checked = Checked(4096)
    checked.feed(maker.manifest(files)[0])
    # 2 + 2 x 1 blocks for the files, two that their folder holds, 3 folders of 2
    assert checked.blocks == 10
    # many that their folder holds make it larger
    checked = Checked(4096)
    checked.feed(maker.manifest([("%d.py" % i, b"x" * 100) for i in range(30)])[0])
    assert checked.blocks == 5
    # each of two has room of its own, so that one block more is enough for both
    checked = Checked(4096)
    checked.feed(maker.manifest([("%s/%d.py" % (folder, i), b"x" * 100) for folder in "ab" for i in range(7)])[0])
    assert checked.blocks == 2 + 2 + 1
