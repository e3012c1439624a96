import random

from redpoll.cloud import bson
from scratch import text_of


def same(a, b):
    if isinstance(a, bson.Time) or isinstance(b, bson.Time):
        return type(a) is type(b) and a.ms == b.ms
    if isinstance(a, dict):
        return isinstance(b, dict) and sorted(a) == sorted(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, list) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and a == b


def test_a_document_is_what_the_specification_shows():
    assert bson.decode(b"\5\0\0\0\0") == {}
    assert bson.encode({"hello": "world"}) == b"\x16\0\0\0\x02hello\0\x06\0\0\0world\0\0"
    array = b"\x31\0\0\0\x04BSON\0\x26\0\0\0\x020\0\x08\0\0\0awesome\0\x011\0\x33\x33\x33\x33\x33\x33\x14\x40\x102\0\xc2\7\0\0\0\0"
    assert bson.encode({"BSON": ["awesome", 1986]}) == (b"\x26\0\0\0\x04BSON\0\x1b\0\0\0\x020\0\x08\0\0\0awesome\0\x101\0\xc2\7\0\0\0\0")
    found = bson.decode(array)["BSON"]
    # a board's floats have 30 bits
    assert found[0] == "awesome" and abs(found[1] - 5.05) < 1e-6 and found[2] == 1986


def test_every_type_comes_back_as_it_was():
    for value in (
        0, 1, -1, 0x7FFFFFFF, -0x80000000, 0x80000000, -0x80000001, (1 << 63) - 1, -(1 << 63), 0.0, -1.5, 1024.25, "", "Größe ✓",
        b"", b"\0\xff", True, False, {}, [], {"a": {"b": [{}, [1, [2]]]}}, bson.Time(0), bson.Time(-1), bson.Time(1790000000123),
    ):  # fmt: skip
        assert same(bson.decode(bson.encode({"k": value})), {"k": value}), value


def test_a_whole_number_takes_four_bytes_where_it_fits():
    assert bson.encode({"k": 5})[4] == 0x10
    assert bson.encode({"k": 1 << 31})[4] == 0x12
    # also one that comes in eight
    assert bson.decode(b"\x10\0\0\0\x12k\0\5\0\0\0\0\0\0\0\0") == {"k": 5}


def test_what_bson_cannot_hold_is_a_value_error():
    for value in (None, object(), 1 << 63, -(1 << 63) - 1, bson.Time(1 << 63), {"a": None}, [set()]):
        assert "BSON" in text_of(ValueError, bson.encode, {"k": value})
    assert "NUL" in text_of(ValueError, bson.encode, {"a\0b": 1})


def test_what_is_no_document_is_a_value_error():
    good = bson.encode({"a": "text", "b": [1, 2.5, True], "c": b"12", "d": {"e": bson.Time(1)}})
    for end in range(len(good)):
        assert text_of(ValueError, bson.decode, good[:end])
    assert text_of(ValueError, bson.decode, good + b"\0")
    for data in (
        b"\5\0\0\0\1",
        b"\6\0\0\0\0\0",
        b"\xff\xff\xff\xff\0",
        b"\x0c\0\0\0\x10k\0\1\0\0\0",
        # a key without an end, a type that is not taken, a string without a length, without a NUL, of length 0 and of a negative one
        b"\x08\0\0\0\x10kk\0",
        b"\x08\0\0\0\x0ak\0\0",
        b"\x08\0\0\0\x02k\0\0",
        b"\x0e\0\0\0\x02k\0\2\0\0\0ab\0",
        b"\x0c\0\0\0\x02k\0\0\0\0\0\0",
        b"\x0d\0\0\0\x02k\0\xff\xff\xff\xff\0\0",
        b"\x0e\0\0\0\x05k\0\xff\xff\xff\x7f\0\0\0",
        b"\x10\0\0\0\x03k\0\4\0\0\0\x08b\0\1\0",
        # one key twice, text that is not UTF-8
        b"\x13\0\0\0\x10k\0\1\0\0\0\x10k\0\2\0\0\0\0",
        b"\x0e\0\0\0\x02k\0\2\0\0\0\xff\0\0",
    ):
        assert text_of(ValueError, bson.decode, data) is not None, data


def test_nesting_deeper_than_eight_is_refused():
    value = {}
    for _ in range(7):
        value = {"a": value}
    assert same(bson.decode(bson.encode(value)), value)
    assert text_of(ValueError, bson.decode, bson.encode({"a": value}))


def test_random_bytes_and_damaged_documents_are_decoded_or_refused():
    random.seed(7)
    good = bson.encode(
        {"v": {"operation": "Update", "url": "http://x/y", "uuid": "u" * 36}, "t": bson.Time(1), "l": [1.5, b"x", True, 1 << 40]}
    )
    for number in range(1500):
        data = bytearray(good)
        for _ in range(number % 4 + 1):
            data[random.getrandbits(10) % len(data)] = random.getrandbits(8)
        if number % 5 == 0:
            data = data[: random.getrandbits(10) % len(data)]
        try:
            assert isinstance(bson.decode(bytes(data)), dict)
        except ValueError:
            pass
