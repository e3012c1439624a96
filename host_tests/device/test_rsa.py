import hashlib
from binascii import a2b_base64, b2a_base64, unhexlify

import rsa_vectors as vectors
from redpoll import rsa
from redpoll.sha512 import sha512
from scratch import text_of

SHA256 = hashlib.sha256(vectors.DATA).digest()


def digest(algorithm, data=vectors.DATA):
    return rsa.hasher(algorithm)(data).digest()


def der_of(pem):
    return a2b_base64("".join(pem.split("\n")[1:-2]))


def refusal(signature, algorithm=rsa.DEFAULT, key=vectors.SPKI_2048, data=vectors.DATA):
    """Why a signature is refused."""
    return text_of(ValueError, rsa.verify, rsa.load(key), digest(algorithm, data), signature, algorithm)


def refused_when_signed(message):
    """Whether an encoded message that the key's owner signed is refused."""
    assert len(message) == 256
    return refusal(vectors.sign_encoded(message)) == "signature: does not match the data and this key"


# what is right


def test_signatures_of_openssl_are_accepted_for_every_key_size_padding_and_hash():
    for (key, algorithm), _ in vectors.SIGNATURES.items():
        rsa.verify(rsa.load(key), digest(algorithm), vectors.signature(key, algorithm), algorithm)


def test_pkcs1v15_with_sha256_is_what_is_verified_when_nothing_is_said():
    rsa.verify(rsa.load(vectors.SPKI_2048), SHA256, vectors.sign(vectors.DATA))
    assert vectors.sign(vectors.DATA) == vectors.signature(vectors.SPKI_2048, "pkcs1v15-sha256")


def test_data_may_be_hashed_in_pieces():
    for algorithm in rsa.ALGORITHMS:
        hash = rsa.hasher(algorithm)()
        for at in range(len(vectors.DATA)):
            hash.update(vectors.DATA[at : at + 1])
        rsa.verify(rsa.load(vectors.SPKI_3072), hash.digest(), vectors.signature(vectors.SPKI_3072, algorithm), algorithm)


def test_all_forms_of_a_key_are_the_same_key():
    for spki, pkcs1 in ((vectors.SPKI_2048, vectors.PKCS1_2048), (vectors.SPKI_3072, vectors.PKCS1_3072)):
        key = rsa.load(spki)
        n = b2a_base64(key.n.to_bytes(key.size, "big")).decode().strip().replace("+", "-").replace("/", "_").replace("=", "")
        for other in (
            pkcs1,
            spki.encode(),
            spki.replace("\n", "\r\n"),
            "a comment\n" + pkcs1,
            der_of(spki),
            der_of(pkcs1),
            {"kty": "RSA", "n": n, "e": "AQAB"},
        ):
            loaded = rsa.load(other)
            assert (loaded.n, loaded.e, loaded.bits, loaded.size) == (key.n, 65537, key.bits, key.bits // 8)


def test_a_small_odd_exponent_is_taken():
    assert rsa.load(vectors.SPKI_E3).e == 3


# what is forged


def test_a_signature_over_other_data_is_refused_by_every_algorithm():
    for (key, algorithm), _ in vectors.SIGNATURES.items():
        assert "does not match" in refusal(vectors.signature(key, algorithm), algorithm, key, vectors.DATA + b"!")


def test_a_signature_by_another_key_or_algorithm_is_refused():
    for key, algorithm in vectors.SIGNATURES:
        signature = vectors.signature(key, algorithm)
        for other in rsa.ALGORITHMS:
            if other != algorithm:
                assert refusal(signature, other, key).startswith("signature: ")
        assert refusal(signature, algorithm, vectors.SPKI_E3).startswith("signature: ")


def test_every_flipped_bit_of_a_sample_is_refused():
    for algorithm in ("pkcs1v15-sha256", "pss-sha256"):
        good = vectors.signature(vectors.SPKI_2048, algorithm)
        for at in range(0, 2048, 53):
            bad = bytearray(good)
            bad[at // 8] ^= 0x80 >> at % 8
            assert refusal(bytes(bad), algorithm).startswith("signature: ")


def test_a_signature_of_another_length_is_refused():
    good = vectors.sign(vectors.DATA)
    for bad in (b"", b"\0", good[:-1], good[1:], good + b"\0", b"\0" + good, good + good):
        assert refusal(bad) == "signature: must be 256 bytes, its digest 32"


def test_a_digest_of_another_length_is_refused():
    key = rsa.load(vectors.SPKI_2048)
    for bad in (b"", SHA256[:20], SHA256 + b"\0", digest("pkcs1v15-sha512")):
        assert "its digest 32" in text_of(ValueError, rsa.verify, key, bad, vectors.sign(vectors.DATA))


def test_zero_and_numbers_from_the_modulus_on_are_refused():
    key = rsa.load(vectors.SPKI_2048)
    good = int.from_bytes(vectors.sign(vectors.DATA), "big")
    bad = [0, key.n, key.n + 1, (1 << 2048) - 1]
    # s + n gives the same message as s, where it has room
    if good + key.n < 1 << 2048:
        bad.append(good + key.n)
    for number in bad:
        for algorithm in rsa.ALGORITHMS:
            assert refusal(number.to_bytes(256, "big"), algorithm) == "signature: not a number below the modulus"
    for number in (1, key.n - 1):
        assert "does not match" in refusal(number.to_bytes(256, "big"))


def test_garbage_behind_a_short_padding_is_refused():
    # Bleichenbacher 2006: a parser that does not look at what follows the digest takes this
    info = vectors.encoded(vectors.DATA)[-51:]
    for padding in (0, 1, 8, 100):
        message = b"\0\1" + b"\xff" * padding + b"\0" + info
        assert refused_when_signed(message + b"\x55" * (256 - len(message)))
        # garbage where the parameters of the hash are, CVE-2006-4340 and later
        message = b"\0\1" + b"\xff" * padding + b"\0" + info[:17] + b"\x04" * (256 - 3 - padding - 51) + info[17:]
        assert refused_when_signed(message)


def test_a_cube_root_made_without_the_private_key_is_refused():
    key = rsa.load(vectors.SPKI_E3)
    wanted = b"\0\1\xff\xff\xff\xff\xff\xff\xff\xff" + vectors.encoded(vectors.DATA)[-52:]
    low = int.from_bytes(wanted + bytes(256 - len(wanted)), "big")
    root = 1 << 683
    for bit in range(682, -1, -1):
        if (root - (1 << bit)) ** 3 >= low:
            root -= 1 << bit
    forged = root.to_bytes(256, "big")
    assert pow(root, 3, key.n).to_bytes(256, "big")[: len(wanted)] == wanted
    assert "does not match" in refusal(forged, key=vectors.SPKI_E3)


def test_each_wrong_byte_of_the_encoded_message_is_refused():
    good = vectors.encoded(vectors.DATA)
    for at in (1, 2, 100, 203, 204, 205, 206, 209, 214, 219, 220, 221, 222, 223, 224, 255):
        assert refused_when_signed(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])


def test_another_hash_name_or_none_is_refused():
    for info in (
        "3021300906052b0e03021a05000420",  # SHA-1's name
        "3031300d060960864801650304020305000420",  # SHA-512's
        "3031300d060960864801650304020405000420",  # SHA-224's
        "302f300b0609608648016503040201" + "0420",  # the NULL parameter left out
        "308131300d060960864801650304020105000420",  # a length that is not the shortest
        "3080300d060960864801650304020105000420",  # an indefinite one
        "",  # the digest alone
    ):
        tail = b"\0" + unhexlify(info) + SHA256
        assert refused_when_signed(b"\0\1" + b"\xff" * (254 - len(tail)) + tail)
    assert "does not match" in refusal(a2b_base64(vectors.PKCS1V15_SHA1))


def test_padding_of_encryption_or_of_zeros_is_refused():
    good = vectors.encoded(vectors.DATA)
    assert refused_when_signed(b"\0\2" + good[2:])
    assert refused_when_signed(b"\0\0" + good[2:])
    assert refused_when_signed(b"\0\1" + bytes(202) + good[204:])


def test_pss_with_a_salt_of_another_length_is_refused():
    for wrong in vectors.WRONG_SALTS:
        assert "does not match" in refusal(a2b_base64(wrong), "pss-sha256")


def test_pss_with_another_mask_hash_is_refused():
    assert "does not match" in refusal(a2b_base64(vectors.MGF1_SHA1), "pss-sha256")


def test_each_wrong_byte_of_a_pss_message_is_refused():
    key = rsa.load(vectors.SPKI_2048)
    good = pow(int.from_bytes(vectors.signature(vectors.SPKI_2048, "pss-sha256"), "big"), key.e, key.n).to_bytes(256, "big")
    assert good[-1] == 0xBC and good[0] < 0x80
    rsa.verify(key, SHA256, vectors.sign_encoded(good), "pss-sha256")
    # padding, the 1 before the salt, salt, hash, trailer
    for at, bit in ((0, 1), (1, 1), (100, 0x10), (190, 4), (190, 1), (191, 1), (222, 1), (223, 1), (254, 0x80), (255, 1), (255, 0x10)):
        bad = bytearray(good)
        bad[at] ^= bit
        assert "does not match" in refusal(vectors.sign_encoded(bytes(bad)), "pss-sha256")


def test_the_unused_top_bit_of_a_pss_message_must_be_zero():
    key = rsa.load(vectors.SPKI_2048)
    good = pow(int.from_bytes(vectors.signature(vectors.SPKI_2048, "pss-sha256"), "big"), key.e, key.n)
    bad = good | 1 << 2047
    if bad < key.n:
        assert "does not match" in refusal(vectors.sign_encoded(bad.to_bytes(256, "big")), "pss-sha256")
    assert rsa._is_pss(good.to_bytes(256, "big"), 2047, SHA256, hashlib.sha256)
    assert not rsa._is_pss(bad.to_bytes(256, "big"), 2047, SHA256, hashlib.sha256)


# keys that are not taken


def test_an_unknown_algorithm_is_named():
    for name in ("rsa", "", "pkcs1v15-sha1", "pss-sha384", "PSS-SHA256", None, 5, []):
        assert text_of(ValueError, rsa.hasher, name).startswith("signature algorithm: pkcs1v15-sha256, ")
        assert repr(name) in text_of(ValueError, rsa.verify, rsa.load(vectors.SPKI_2048), SHA256, b"", name)


def test_keys_that_are_too_short_or_too_long_are_refused_with_their_size():
    assert text_of(ValueError, rsa.load, vectors.SPKI_1024) == "public key: 1024 bits, 2048 to 4096 are taken"
    for bits in (0, 1, 8, 2047, 4097, 8192):
        n = ((1 << bits) - 1).to_bytes((bits + 7) // 8, "big")
        assert text_of(ValueError, rsa.Key, n, b"\1\0\1") == "public key: %d bits, 2048 to 4096 are taken" % bits
    for bits in (2048, 4096):
        assert rsa.Key(((1 << bits) - 1).to_bytes(bits // 8, "big"), b"\1\0\1").bits == bits


def test_even_moduli_and_bad_exponents_are_refused():
    n = rsa.load(vectors.SPKI_2048).n
    for modulus, exponent in ((n - 1, 3), (n, 0), (n, 1), (n, 2), (n, 65536), (n, (1 << 32) + 1), (n, n)):
        text = text_of(ValueError, rsa.Key, modulus.to_bytes(256, "big"), exponent.to_bytes(256, "big"))
        assert text == "public key: modulus or exponent is even, or the exponent not 3 to 4294967295"


def test_keys_of_another_kind_are_refused():
    for pem in (vectors.SPKI_P256, vectors.SPKI_PSS):
        assert text_of(ValueError, rsa.load, pem) == "public key: not of the kind rsaEncryption"


def test_a_private_key_and_a_cut_pem_are_refused():
    private = "-----BEGIN %s KEY-----\nMIIB\n-----END %s KEY-----\n"
    for pem in (private % ("PRIVATE", "PRIVATE"), private % ("RSA PRIVATE", "RSA PRIVATE"), vectors.SPKI_2048[:-40], "-----BEGIN "):
        assert text_of(ValueError, rsa.load, pem) == "public key: PEM without BEGIN and END [RSA] PUBLIC KEY"
    with_letters = vectors.SPKI_2048.replace("\n", "\n!", 3)
    assert text_of(ValueError, rsa.load, with_letters) == "not base64"


def test_what_is_no_key_at_all_is_refused():
    for source in (
        None,
        5,
        [],
        True,
        "",
        b"",
        "key.pem",
        b"\x30",
        b"\x30\x80",
        "x" * 4097,
        bytes(5000),
        "ü",
        {},
        {"n": 5, "e": 3},
        {"n": "AQAB"},
    ):
        assert text_of(ValueError, rsa.load, source).startswith("public key: ")


def test_a_key_with_one_byte_changed_added_or_cut_is_another_valid_key_or_a_value_error():
    for pem in (vectors.SPKI_2048, vectors.PKCS1_2048):
        good = der_of(pem)
        first = len(good) - 270
        taken = 0
        # every byte of the frame with several values; of the modulus samples
        for at in list(range(first + 10)) + list(range(first + 10, len(good) - 8, 37)) + list(range(len(good) - 8, len(good))):
            for wrong in (0, 1, 2, 0x30, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF, good[at] ^ 1):
                bad = bytearray(good)
                bad[at] = wrong
                try:
                    taken += rsa.load(bytes(bad)).size == 256
                except ValueError:
                    pass
            for bad in (good[:at], good[:at] + b"\0" + good[at:], good[:at] + good[at + 1 :]):
                text_of(ValueError, rsa.load, bad)
        assert taken
        for more in (b"\0", b"\x05\0", good):
            text_of(ValueError, rsa.load, good + more)


def test_a_bit_string_with_unused_bits_is_refused():
    good = der_of(vectors.SPKI_2048)
    assert good[23:25] == b"\0\x30"
    for unused in (1, 7, 8, 0xFF):
        assert text_of(ValueError, rsa.load, good[:23] + bytes([unused]) + good[24:]) == "public key: wrong DER at byte 19"


def test_only_the_shortest_der_is_taken():
    n = der_of(vectors.PKCS1_2048)[8:-5]
    exponent = b"\x02\x03\x01\x00\x01"

    def key(modulus, exponent=exponent):
        body = modulus + exponent
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body

    assert rsa.load(key(b"\x02\x82\x01\x01" + n)).bits == 2048
    for bad in (
        key(b"\x02\x83\x00\x01\x01" + n),
        key(b"\x02\x82\x01\x02\0" + n),
        key(b"\x02\x82\x01\x00" + n[1:]),  # negative
        key(b"\x02\x82\x01\x01" + n, b"\x02\x04\x00\x01\x00\x01"),
        key(b"\x02\x82\x01\x01" + n, b"\x02\x81\x03\x01\x00\x01"),
        key(b"\x02\x82\x01\x01" + n, b"\x02\x00"),
        key(b"\x02\x82\x01\x01" + n, b"\x02\x01\x83"),
        key(b"\x02\x82\x01\x01" + n, b"\x04\x03\x01\x00\x01"),
        key(b"\x02\x00"),
        b"\x30\x80" + b"\x02\x82\x01\x01" + n + exponent + b"\0\0",
    ):
        assert text_of(ValueError, rsa.load, bad).startswith("public key: wrong DER at byte ")


def test_random_bytes_are_never_a_key_and_never_more_than_a_value_error():
    state = 1
    for length in range(0, 600, 3):
        data = bytearray(b"\x30")
        for _ in range(length):
            state = (state * 1103515245 + 12345) & 0x7FFFFFFF
            data.append(state >> 16 & 0xFF)
        text_of(ValueError, rsa.load, bytes(data))


def test_base64_takes_both_alphabets_and_nothing_else():
    assert rsa.unbase64("+/+/") == rsa.unbase64("-_-_") == rsa.unbase64(" +/\n+/ ") == unhexlify("fbffbf")
    assert rsa.unbase64("AQ") == rsa.unbase64("AQ==") == b"\1"
    assert rsa.unbase64("") == b""
    for bad in ("A", "AR", "AA=A", "A===", "AAAA=", "AA!A", "AAAA====", "====", "ü"):
        text_of(ValueError, rsa.unbase64, bad)


# SHA-512


def test_sha512_gives_the_digests_of_fips_180():
    for data, start in (
        (b"", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"),
        (b"abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"),
        (
            b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018",
        ),
    ):
        assert sha512(data).digest()[:32] == unhexlify(start)
        assert len(sha512(data).digest()) == 64


def test_sha512_is_the_same_in_pieces_of_any_size_and_goes_on_after_a_digest():
    data = bytes(range(256)) + b"x" * 45
    whole = sha512(data).digest()
    for step in (1, 7, 64, 127, 128, 129):
        hash = sha512()
        for at in range(0, len(data), step):
            hash.update(data[at : at + step])
            hash.digest()
        assert hash.digest() == whole


def test_sha512_agrees_with_the_hosts_own_at_every_length_of_two_blocks():
    own = getattr(hashlib, "sha512", None)
    for length in range(0, 260, 1 if own else 20):
        data = bytes(length)
        assert own is None or sha512(data).digest() == own(data).digest()


def test_a_key_of_up_to_4096_bytes_is_read_and_no_longer_one():
    text = (4096 - len(vectors.SPKI_2048)) * "x" + vectors.SPKI_2048
    assert rsa.load(text).bits == 2048
    assert "up to 4096 bytes" in text_of(ValueError, rsa.load, "x" + text)


def test_a_key_that_ends_within_a_number_is_refused_as_a_key():
    assert "wrong DER" in text_of(ValueError, rsa.load, b"\x30\x02\x02\x05")
    # and one whose exponent is 0
    der = der_of(vectors.PKCS1_2048)
    der = der[:2] + (len(der) - 6).to_bytes(2, "big") + der[4:-5] + b"\x02\x01\x00"
    assert "exponent" in text_of(ValueError, rsa.load, der)


def test_a_modulus_that_begins_with_the_bit_of_the_sign_alone_is_taken_as_a_positive_one():
    der = der_of(vectors.PKCS1_2048)
    assert rsa.load(der[:9] + b"\x80" + der[10:]).bits == 2048
    assert "wrong DER" in text_of(ValueError, rsa.load, b"\x30\x82\x01\x09\x02\x82\x01\x00\x80" + der[10:])
