# RSA signatures, the public half only (RFC 8017): PKCS#1 v1.5 and PSS. The caller hashes, so that a bundle can be a stream.
#
#     hash = rsa.hasher(rsa.DEFAULT)()
#     hash.update(...)
#     rsa.verify(rsa.load(pem), hash.digest(), signature)
#
# Nothing here is secret, so nothing needs to take the same time for every input.
import hashlib
from binascii import a2b_base64, b2a_base64

from micropython import const

DEFAULT = "pkcs1v15-sha256"
ALGORITHMS = (DEFAULT, "pkcs1v15-sha512", "pss-sha256", "pss-sha512")

_MOST_SOURCE = const(4096)
_KEY_FILE = const(2048)  # bytes; one of 4096 bits has 800. So much is asked of the heap at once
_INTEGER = const(0x02)
_BIT_STRING = const(0x03)
_SEQUENCE = const(0x30)
# AlgorithmIdentifier of rsaEncryption with NULL parameters (RFC 3279 §2.3.1)
_RSA = const(b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00")
# DigestInfo up to the digest (RFC 8017 §9.2, note 1); SHA-256 and SHA-512 differ in three of its bytes
_INFO = const(b"\x30%c\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02%c\x05\x00\x04%c")


class Key:
    """A public key from two big-endian numbers: `n`, `e`, its `bits`, `size` of a signature in bytes. ValueError when it is not taken."""

    def __init__(self, modulus, exponent):
        modulus = modulus.lstrip(b"\0")
        self.size = len(modulus)
        self.n = int.from_bytes(modulus, "big")
        bits = self.size * 8
        while bits and not self.n >> (bits - 1):
            bits -= 1
        self.bits = bits
        if not 2048 <= bits <= 4096:
            raise _bad("%d bits, 2048 to 4096 are taken" % bits)
        self.e = int.from_bytes(exponent, "big")
        # a larger exponent would only cost time: 32 bits hold all that are in use
        if not self.n & self.e & 1 or self.e < 3 or self.e >> 32:
            raise _bad("modulus or exponent is even, or the exponent not 3 to 4294967295")


def load(source):
    """A Key from PEM (str or bytes), DER (bytes) or JWK (dict: RFC 7518 §6.3.1, "n" and "e" in base64url).

    PEM and DER hold SubjectPublicKeyInfo (BEGIN PUBLIC KEY) or RSAPublicKey (BEGIN RSA PUBLIC KEY). ValueError says what is wrong.
    """
    if isinstance(source, dict):
        return _jwk(source)
    if isinstance(source, str):
        source = source.encode()
    if not isinstance(source, bytes) or len(source) > _MOST_SOURCE:
        raise _bad("must be PEM, DER or JWK up to 4096 bytes")
    if b"-----BEGIN" in source:
        _, _, source = source.partition(b"PUBLIC KEY-----")
        source, end, _ = source.partition(b"-----END ")
        if not end:
            # a private key comes here too: it has no place on a device
            raise _bad("PEM without BEGIN and END [RSA] PUBLIC KEY")
        source = unbase64(source.decode())
    return _der(source)


def find(source):
    """The same from a PEM text, a JWK dict or the name of a file with PEM or DER."""
    if isinstance(source, str) and "-----BEGIN" not in source:
        try:
            with open(source, "rb") as file:
                source = file.read(_KEY_FILE + 1)
        except OSError:
            raise ValueError("there is no file %s" % source)
    return load(source)


def hasher(algorithm):
    """What makes the hash object of an algorithm, with `update(data)` and `digest()`. ValueError when there is no such algorithm."""
    if algorithm not in ALGORITHMS:
        raise ValueError("signature algorithm: %s, not %r" % (", ".join(ALGORITHMS), algorithm))
    try:
        return getattr(hashlib, algorithm[-6:])
    except AttributeError:
        # most boards have no SHA-512; ours is slow, and loaded only by who asks for it
        from .sha512 import sha512

        return sha512


def verify(key, digest, signature, algorithm=DEFAULT):
    """Return when `signature` (bytes) of `digest` was made with the private half of `key`; ValueError for everything else."""
    new = hasher(algorithm)
    length = int(algorithm[-3:]) // 8
    # RFC 8017 §8.1.2 and §8.2.2, steps 1 and 2
    if len(digest) != length or len(signature) != key.size:
        raise ValueError("signature: must be %d bytes, its digest %d" % (key.size, length))
    number = int.from_bytes(signature, "big")
    if not 0 < number < key.n:
        raise ValueError("signature: not a number below the modulus")
    message = pow(number, key.e, key.n).to_bytes(key.size, "big")
    if algorithm.startswith("pss"):
        good = _is_pss(message, key.bits - 1, digest, new)
    else:
        # §9.2: what it must be is built and compared as a whole. Whoever parses it instead accepts forgeries (Bleichenbacher 2006)
        info = _INFO % (length + 17, 1 if length == 32 else 3, length) + digest
        good = message == b"\0\1" + b"\xff" * (key.size - len(info) - 3) + b"\0" + info
    if not good:
        raise ValueError("signature: does not match the data and this key")


def unbase64(text):
    """Base64 or base64url (RFC 4648 §4, §5), white space allowed, padding or not -> bytes. ValueError for any other character."""
    text = "".join(text.split()).replace("-", "+").replace("_", "/")
    text += "=" * (-len(text) % 4)
    data = a2b_base64(text)
    # a2b_base64 passes over what it does not know
    if b2a_base64(data)[:-1] != text.encode():
        raise ValueError("not base64")
    return data


def _is_pss(message, bits, digest, new):
    # EMSA-PSS-VERIFY, RFC 8017 §9.1.2, with a salt as long as the digest
    length = len(digest)
    # one byte shorter than the modulus when that has 8 n + 1 bits
    at = (bits + 7) // 8
    if message[-1] != 0xBC or int.from_bytes(message, "big") >> bits:
        return False
    message = message[-at:]
    at -= length + 1
    hashed = message[at:-1]
    block = bytearray(message[:at])
    for i in range(at):
        if i % length == 0:
            # MGF1, §B.2.1
            mask = new(hashed + (i // length).to_bytes(4, "big")).digest()
        block[i] ^= mask[i % length]
    block[0] &= 0xFF >> -bits % 8
    at -= length
    return block[:at] == b"\0" * (at - 1) + b"\1" and new(bytes(8) + digest + block[at:]).digest() == hashed


def _jwk(values):
    try:
        return Key(unbase64(values["n"]), unbase64(values["e"]))
    except (KeyError, AttributeError):
        raise _bad('JWK needs "n" and "e" in base64url')


def _der(der):
    start, _ = _element(der, 0, _SEQUENCE)
    if der[start : start + 1] == b"\x30":
        # SubjectPublicKeyInfo, RFC 5280 §4.1
        at = start + len(_RSA)
        if der[start:at] != _RSA:
            raise _bad("not of the kind rsaEncryption")
        start, _ = _element(der, at, _BIT_STRING)
        # its first byte counts unused bits: none
        start, _ = _element(der, start + 1 if der[start] == 0 else at, _SEQUENCE)
    # RSAPublicKey, RFC 8017 §A.1.1
    modulus, stop = _element(der, start, _INTEGER, False)
    exponent, _ = _element(der, stop, _INTEGER)
    return Key(der[modulus:stop], der[exponent:])


def _element(der, at, tag, last=True):
    # one DER element: where its contents begin and end. All but the modulus end where the key does
    start = at + 2
    length = der[at + 1] if start <= len(der) and der[at] == tag else 0
    if length >= 0x80:
        # only the shortest form (X.690 §10.1); one of three bytes or more is longer than any source
        start += length - 0x80
        length = int.from_bytes(der[at + 2 : start], "big")
        if length < 0x80 or der[at + 2] == 0:
            length = 0
    stop = start + length
    good = length and stop <= len(der) and (not last or stop == len(der))
    if good and tag == _INTEGER:
        # positive, in its shortest form (X.690 §8.3)
        good = der[start] < 0x80 and (length == 1 or der[start] or der[start + 1] >= 0x80)
    if not good:
        raise _bad("wrong DER at byte %d" % at)
    return start, stop


def _bad(text):
    return ValueError("public key: " + text)
