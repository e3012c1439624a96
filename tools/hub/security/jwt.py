"""JSON web tokens (RFC 7519) signed with HMAC-SHA256. What the claims mean, and whether they have expired, is for who made them to say."""

import hmac
import json
from typing import Any

from tools.hub import base64url

TOKEN_MAX = 4096  # characters

_HEADER = {"alg": "HS256", "typ": "JWT"}


def make(secret: bytes, claims: dict[str, Any]) -> str:
    """A token with these claims."""
    signed = ".".join(base64url.encode(json.dumps(part, separators=(",", ":")).encode()) for part in (_HEADER, claims))
    return f"{signed}.{_signature(secret, signed)}"


def read(secret: bytes, token: str) -> dict[str, Any] | None:
    """The claims of a token made with this secret, None of any other; the signature is looked at before the content, in constant time."""
    signed, _, signature = token.rpartition(".")
    if len(token) > TOKEN_MAX or not token.isascii() or not hmac.compare_digest(signature, _signature(secret, signed)):
        return None
    header, _, payload = signed.partition(".")
    claims = _decode(payload)
    return claims if claims is not None and (_decode(header) or {}).get("alg") == "HS256" else None


def _signature(secret: bytes, signed: str) -> str:
    return base64url.encode(hmac.digest(secret, signed.encode(), "sha256"))


def _decode(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64url.decode(text))
    except ValueError:  # binascii.Error is one
        return None
    return value if isinstance(value, dict) else None
