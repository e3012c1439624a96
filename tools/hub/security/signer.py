"""The hub's own RSA key, which signs licences: PKCS#1 v1.5 over SHA-256 (RFC 8017 §8.2), base64, 2048 bits.

The vendor documents neither hash nor padding nor encoding (reference xyte §4); these are the firmware's defaults.
"""

import base64
import contextlib
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tools import keys

ALGORITHM = "pkcs1v15-sha256"  # as the firmware's settings name it
ENCODING = "base64"


class Signer:
    """Signs with a private key and shows the public one."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    @classmethod
    def kept(cls, path: Path) -> "Signer":
        """The key in this file, made now when there is none. Raises OSError, and ValueError when the file holds no RSA key.

        Whoever makes one at the same moment, both then have the same.
        """
        with contextlib.suppress(FileNotFoundError):
            return cls(keys.load_private(path))
        with contextlib.suppress(FileExistsError):
            keys.make_private(path)
        return cls(keys.load_private(path))

    def sign(self, text: str) -> str:
        """The signature of the text's UTF-8 bytes, in base64."""
        return base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()

    def public_pem(self) -> str:
        """What boards have as `license_key`."""
        return keys.public_pem(self._key)
