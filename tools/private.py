"""Files with secrets in them."""

import contextlib
import os
import secrets
from pathlib import Path


def write_private(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Have the file hold this and nothing else, whole or not at all, readable by its owner only (mode 0600).

    Without `replace` raises FileExistsError when there is one already, and leaves that as it is.
    """
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            path.hardlink_to(temporary)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
