"""Links that let whoever holds one fetch one file as one device, for a while, without that device's key (reference xyte §2, `url`).

The vendor's files come from a storage that takes such links, and a downloader need not know any key. The signature is made from the
operator key, so none is stored, each hub process on that key takes them, and a new key ends them all.
"""

import hmac

LINK_SECONDS = 24 * 3600  # long enough for a slow link and a few restarts; a command's is made anew each time it is handed out
_UNTIL_MAX = 12  # digits


class Links:
    """Makes and checks the query of a link."""

    def __init__(self, operator_key: str) -> None:
        self._secret = hmac.digest(operator_key.encode(), b"redpoll: links to files", "sha256")

    def query(self, device_id: str, file_id: str, now: float) -> str:
        """What follows the `?` of a link that is good from now on."""
        until = str(int(now) + LINK_SECONDS)
        return f"until={until}&signature={self._sign(device_id, file_id, until)}"

    def holds(self, device_id: str, file_id: str, until: str | None, signature: str | None, now: float) -> bool:
        """Whether these two came from `query` and the time is not over. Compared in constant time."""
        if until is None or signature is None or not (until.isascii() and until.isdigit() and len(until) <= _UNTIL_MAX):
            return False
        same = hmac.compare_digest(self._sign(device_id, file_id, until).encode(), signature.encode(errors="surrogateescape"))
        return same and int(until) > now

    def _sign(self, device_id: str, file_id: str, until: str) -> str:
        return hmac.digest(self._secret, f"{device_id}/{file_id}/{until}".encode(errors="surrogateescape"), "sha256").hex()
