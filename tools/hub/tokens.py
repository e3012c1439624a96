"""Tokens beside the operator key, for clients that cannot or should not hold it (reference span.md: API tokens and JWT).

All of them are made from the operator key, so none is stored, each hub process on that key takes them, and a new key ends them all.
"""

import base64
import binascii
import hmac
import json
from hashlib import sha256
from typing import Any, Literal

Access = Literal["read", "write"]

_HEADER = {"alg": "HS256", "typ": "JWT"}
_JWT_MAX = 4096  # characters


class Tokens:
    """What lets someone read, or read and write, as the operator does."""

    def __init__(self, operator_key: str) -> None:
        self._operator = sha256(operator_key.encode()).digest()
        self._secret = hmac.digest(operator_key.encode(), b"redpoll: signature of JWT", "sha256")
        self.read_only = "ro-" + hmac.digest(operator_key.encode(), b"redpoll: read-only token", "sha256").hex()
        self._read_only = sha256(self.read_only.encode()).digest()

    def access_of(self, token: str) -> Access | None:
        """What this API token allows: the operator key is one that writes. Compared in constant time."""
        given = sha256(token.encode(errors="surrogateescape")).digest()
        writes, reads = hmac.compare_digest(given, self._operator), hmac.compare_digest(given, self._read_only)
        return "write" if writes else "read" if reads else None

    def jwt(self, access: Access, expires_at: float) -> str:
        """A JSON web token (RFC 7519) with this access until then (seconds since 1970)."""
        claims = {"iss": "redpoll", "exp": int(expires_at), "access": access}
        signed = f"{_encode(json.dumps(_HEADER).encode())}.{_encode(json.dumps(claims).encode())}"
        return f"{signed}.{_encode(self._sign(signed))}"

    def access_of_jwt(self, text: str, now: float) -> Access | None:
        """What this token allows now; None for one that is not ours or has expired. The signature is looked at before the content."""
        signed, _, signature = text.rpartition(".")
        if len(text) > _JWT_MAX or not text.isascii() or not hmac.compare_digest(signature, _encode(self._sign(signed))):
            return None
        header, _, payload = signed.partition(".")
        claims = _decode(payload)
        if _decode(header).get("alg") != "HS256" or not isinstance(claims.get("exp"), int) or claims["exp"] <= now:
            return None
        access = claims.get("access")
        return access if access in ("read", "write") else None

    def _sign(self, signed: str) -> bytes:
        return hmac.digest(self._secret, signed.encode(), "sha256")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> dict[str, Any]:
    try:
        value = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
