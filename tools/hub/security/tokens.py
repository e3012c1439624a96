"""Tokens beside the operator key, for clients that cannot or should not hold it (reference span: API tokens and JWT).

All of them are made from the operator key, so none is stored, each hub process on that key takes them, and a new key ends them all.
"""

import hmac
from hashlib import sha256
from typing import Literal

from tools.hub.security import jwt

Access = Literal["read", "write"]


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
        return jwt.make(self._secret, {"iss": "redpoll", "exp": int(expires_at), "access": access})

    def access_of_jwt(self, text: str, now: float) -> Access | None:
        """What this token allows now; None for one that is not ours or has expired."""
        claims = jwt.read(self._secret, text)
        if claims is None or not isinstance(claims.get("exp"), int) or claims["exp"] <= now:
            return None
        access = claims.get("access")
        return access if access in ("read", "write") else None
