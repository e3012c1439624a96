# Bundles for the tests of the update, on any interpreter; sound ones are what tools/bundle makes, the others nobody makes.
import json
from binascii import a2b_base64, crc32, hexlify
from hashlib import sha256

import rsa_vectors

KEY = rsa_vectors.SPKI_2048
# 2343 bytes of Python, and the same deflated by zlib with a window of 2 ** 10
TEXT = b"".join([b"def reading_%d():\n    return {'value': %d, 'unit': 'mm'}\n\n\n" % (i, i * i % 97) for i in range(40)])
DEFLATED = a2b_base64(
    "hdI7bsMwEEXRXqtgJwdIIc6IP2/GMCAlMBCrEKw0RvYelyly+VSpueCQc5b1I+zrdbltn5fp9HYewuvb18exb+E5fl+/jnU8h+k9jMd2e7x+x/t9/BmGYfkT"
    "RgxjPzQM537oGLZ+OPOouV8mLC31y4ylizMLv4+4Z8Uyi6dtWFaxzciAXJQsyMS4sWOoiJQVFRMpO1IlO3L1vgwpq1NZUhN6I1NytVa2VKZ+amwpirsaY0pi"
    "YGNMLYuUMc2CsDGmJkgYa5rVXVlTUwOzpqT2ypqqKBlTFoSdMVkRKWOqYmBnTEk8sDMmM5EyptpEypiycOiMydVyGFNUp3YwZZF2NP2T/gI="
)


def u16(n):
    return bytes((n & 255, n >> 8 & 255))


def u32(n):
    return u16(n) + u16(n >> 16)


def header(name, method, packed, size, flags=0, extra=b"", crc=0):
    """A ZIP entry's local header."""
    name = name.encode()
    return (
        b"PK\3\4" + u16(20) + u16(flags) + u16(method) + u16(0) + u16(0x21) + u32(crc) + u32(packed) + u32(size)
        + u16(len(name)) + u16(len(extra)) + name + extra
    )  # fmt: skip


def stored_blocks(data):
    """A deflate stream that holds the data as it is."""
    out = b""
    for at in range(0, len(data) or 1, 1000):
        part = data[at : at + 1000]
        last = at + 1000 >= len(data)
        out += bytes((1 if last else 0,)) + u16(len(part)) + u16(~len(part)) + part
    return out


def pack(data):
    """(method, packed) that the builder of tests takes for this content."""
    if data == TEXT:
        return 8, DEFLATED
    return (8, stored_blocks(data)) if data[:1] == b"z" else (0, data)


def entry(name, data, packed=None, offset=0, method=0, **wrong):
    """A file as the manifest has it."""
    packed = data if packed is None else packed
    fields = {
        "method": method,
        "name": name,
        "offset": offset,
        "packed": packed if isinstance(packed, int) else len(packed),
        "sha256": hexlify(sha256(data).digest()).decode(),
        "size": len(data),
    }
    fields.update(wrong)
    return fields


def dumps(values):
    """Compact JSON with sorted keys."""
    if isinstance(values, dict):
        return "{" + ",".join([json.dumps(key) + ":" + dumps(values[key]) for key in sorted(values)]) + "}"
    if isinstance(values, list):
        return "[" + ",".join([dumps(value) for value in values]) + "]"
    return json.dumps(values)


def manifest(contents, version="1.1.0", **wrong):
    """(manifest as bytes, bytes of all entries) for [(name, content)]."""
    body = bytearray()
    listed = []
    for name, data in contents:
        method, packed = pack(data)
        body.extend(header(name, method, len(packed), len(data), crc=crc32(data)))
        listed.append(entry(name, data, packed, len(body), method))
        body.extend(packed)
    about = {
        "boards": [],
        "files": listed,
        "format": 1,
        "micropython": "1.20.0",
        "mpy": 0,
        "name": "product",
        "size": sum([len(data) for _, data in contents]),
        "version": version,
        "window": 10,
    }
    about.update(wrong)
    return dumps(about).encode(), bytes(body)


def assemble(signed, body, signature=None, tail=b"PK\5\6" + bytes(18)):
    """The bundle of these parts; the signature is the right one unless it is given."""
    if signature is None:
        signature = rsa_vectors.sign(signed)
    head = header("manifest.json", 0, len(signed), len(signed)) + signed
    return head + header("manifest.sig", 0, len(signature), len(signature)) + signature + body + tail


def make(contents, version="1.1.0", **wrong):
    """A signed bundle of [(name, content)]. `wrong` replaces what the manifest says."""
    return assemble(*manifest(contents, version, **wrong))
