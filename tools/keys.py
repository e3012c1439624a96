"""RSA keys in files: a private half that stays in its file, for its owner only, and the public half that boards are given."""

import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tools.private import write_private

BITS = (2048, 3072)  # what is made; firmware/redpoll/rsa.py verifies 2048 to 4096


def make_private(path: Path, bits: int = BITS[0]) -> None:
    """A new key in a new file with mode 0600, whole or not at all. Raises FileExistsError, other OSErrors, ValueError for other bits."""
    if bits not in BITS:
        raise ValueError(f"an RSA key of {bits} bits: it may have {' or '.join(map(str, BITS))}")
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(path, pem, replace=False)


def load_private(path: Path) -> rsa.RSAPrivateKey:
    """The key in this file. Raises OSError; ValueError when others may read the file, or it holds no RSA key of 2048 bits or more."""
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        pem = file.read()
    if b"PUBLIC KEY-----" in pem and b"PRIVATE KEY-----" not in pem:
        raise ValueError(f"{path} holds the public half of a key; the private one is asked for")
    if mode & 0o077:
        raise ValueError(f"{path} can be read by others (mode {mode:04o}); make it its owner's only: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their texts could quote the file
        raise ValueError(f"{path} holds no private key in PEM without a password") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < BITS[0]:
        raise ValueError(f"{path} holds no RSA key of {BITS[0]} bits or more")
    return key


def public_pem(key: rsa.RSAPrivateKey) -> str:
    """The public half as a board's settings take it: SubjectPublicKeyInfo in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def load_public(path: Path) -> rsa.RSAPublicKey:
    """The public key in this file, PEM or DER. Raises OSError, and ValueError when it holds none."""
    data = path.read_bytes()
    try:
        load = serialization.load_pem_public_key if b"-----BEGIN" in data else serialization.load_der_public_key
        key = load(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError(f"{path} holds no public key in PEM or DER") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"{path} holds no RSA key")
    return key
