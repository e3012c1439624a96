"""Base64 for URLs (RFC 4648 §5) without padding: tokens, Astarte's and Kapua's ids."""

import base64


def encode(raw: bytes) -> str:
    """The text of these bytes."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes of a text, which may lack its padding; characters that are none are passed over. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
