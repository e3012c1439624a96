from redpoll.jsonin import loads, loads_object
from scratch import text_of


def test_a_value_within_the_bounds_is_decoded():
    assert loads(b'{"a": [1, 2.5, "x", null, true]}') == {"a": [1, 2.5, "x", None, True]}


def test_nesting_deeper_than_eight_is_refused_before_it_is_decoded():
    assert loads(b"[" * 8 + b"]" * 8) is not None
    assert "deeper" in text_of(ValueError, loads, b"[" * 9 + b"]" * 9)
    assert "deeper" in text_of(ValueError, loads, b'{"a":' * 1000)


def test_brackets_within_strings_are_not_nesting():
    assert loads(b'["[[[[[[[[[[[", "\\"[[[[[[[[[[["]') == ["[[[[[[[[[[[", '"[[[[[[[[[[[']


def test_more_bytes_than_allowed_are_refused():
    assert "at most 8192" in text_of(ValueError, loads, b'"' + b"x" * 9000 + b'"')
    assert "at most 10" in text_of(ValueError, loads, b"12345678901", 10)
    assert loads(b"1234567890", 10) == 1234567890


def test_what_is_not_json_is_a_value_error_whatever_it_is():
    # MicroPython's decoder forgives a wrong separator or bracket, so those are not asked for here
    for data in (b"", b"{", b'{"a":', b"nope", b'{"a": "\xff\xfe"}', b"\x00\x01", b'"abc', b"]", b"1 2"):
        assert text_of(ValueError, loads, data)


def test_an_object_is_asked_for_and_a_list_is_refused():
    assert loads_object(b'{"a": 1}') == {"a": 1}
    for data in (b"[]", b"1", b'"x"', b"null"):
        assert "must be a JSON object" in text_of(ValueError, loads_object, data)


def test_more_values_than_a_device_needs_are_refused_before_they_take_the_heap():
    assert len(loads(b"[" + b"0," * 510 + b"0]")) == 511
    assert "512 values" in text_of(ValueError, loads, b"[" + b"0," * 511 + b"0]")
    assert "512 values" in text_of(ValueError, loads, b"[" + b"[]," * 300 + b"0]")
    assert "512 values" in text_of(ValueError, loads, b"[" + b"0," * 2000 + b"0]")
    assert loads(b'"' + b"," * 2000 + b'"')


def test_values_that_no_comma_separates_are_counted_too():
    # MicroPython's decoder takes them; for [[][][]] it asked for forty times the text
    for one in (b"[]", b"{}", b'"a"', b"1 ", b"1\n", b'"a":', b"[]:", b"1:"):
        for begin, end in ((b"[", b"]"), (b"{", b"}")):
            assert "512 values" in text_of(ValueError, loads, begin + one * 1100 + end), one
    # of what is JSON no less is taken
    assert len(loads(b"{" + b", ".join([b'"%d" : "x"' % n for n in range(511)]) + b"\n}")) == 511
    assert len(loads(b"[" + b",".join([b" -1.5e3 "] * 511) + b"]")) == 511


def test_two_escapes_of_one_character_become_that_character():
    assert loads(b'"a \\ud83d\\ude00 \\uD83D\\uDE00"') == "a \U0001f600 \U0001f600"
    assert loads(b'"\\\\ud83d\\\\ude00"') == "\\ud83d\\ude00"
    assert loads(b'"\\u00e9 \\ud83d"')[0] == "\u00e9"


def test_an_escape_has_four_hexadecimal_digits_and_nothing_that_stands_for_one():
    # MicroPython's decoder makes half a pair, or what is no character, of them
    for digits in ("d_00", "_d80", "ud80_", "+d80", " d80", "d80 ", "0xd8", "-001", "d8", ""):
        assert text_of(ValueError, loads, b'["\\u' + digits.encode() + b'"]') == "not JSON", digits
        assert text_of(ValueError, loads, b'["\\ud83d\\u' + digits.encode() + b'"]') == "not JSON", digits
    assert loads(b'["\\uD7FF\\ue000\\ud800\\udc00\\udbff\\udfff"]') == ["\ud7ff\ue000\U00010000\U0010ffff"]


def test_half_of_such_a_pair_becomes_the_replacement_character():
    for text in (b"\\ud83d", b"\\uDE00", b"\\udfff", b"\\uD800", b"\\udbff"):
        assert loads(b'{"hall %s": ["%s!", "\\\\%s\\u00e9"]}' % (text, text, text)) == {
            "hall \ufffd": ["\ufffd!", "\\\ufffd\u00e9"],
        }
    assert loads(b'"\\ud83d\\ud83d\\ude00\\ude00"') == "\ufffd\U0001f600\ufffd"
    assert loads(b'"\\udc00\\udc00\\udfff\\udfff"') == "\ufffd" * 4
    assert loads(b'"\\ude00\\ud83d\\u00e9\\ud83d\\\\ude00"') == "\ufffd\ufffd\u00e9\ufffd\\ude00"
    assert loads(b'"' + b"\\ud83d" * 1300 + b'"') == "\ufffd" * 1300
    for data in (b'"\\ud83"', b'"\\ud83d\\u"', b'"\\u', b'"\\ud83d\\udex0"'):
        assert text_of(ValueError, loads, data)


def test_the_bytes_of_half_a_pair_are_not_utf_8():
    for data in (b"\xed\xa0\xbd", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xed"):
        assert text_of(ValueError, loads, b'"hall ' + data + b'"') == "not JSON"
        assert text_of(ValueError, loads, b'{"' + data + b'": 1}') == "not JSON"
    # it cannot hide where a text ends
    assert text_of(ValueError, loads, b'["\xed", ' + b"[" * 20 + b"]" * 20 + b"]")
    assert loads(b'"\xed\x80\x80\xed\x9f\xbf"') == "\ud000\ud7ff"


def test_a_number_that_would_become_infinite_is_refused():
    assert loads(b'{"a": 3e38}')["a"] > 2e38
    for data in (b'{"a": 1e999}', b"[[-1e999]]", b"4e38"):
        assert "32 bits" in text_of(ValueError, loads, data)
