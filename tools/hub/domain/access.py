"""Access tokens: who logged in may ask for a while, and may go on with a refresh token that works once. Only hashes of both are kept."""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from tools.hub.errors import NotAuthorized
from tools.hub.store import tables
from tools.hub.store.unit import Unit

TOKEN_SECONDS = 30 * 60  # reference kapua-kura §1
REFRESH_SECONDS = 5 * 3600
TOKENS_MAX = 1000  # beyond it the oldest goes


@dataclass(frozen=True)
class Access:
    """What a login gives; token and refresh token are in no other place afterwards."""

    id: int
    token: str
    refresh_token: str
    created_at: float
    expires_at: float
    refresh_expires_at: float


def log_in(unit: Unit, make_token: Callable[[float, float], str]) -> Access:
    """A new token, of the text that `make_token(from, until)` makes; it must be another one each time."""
    unit.db.execute(delete(tables.access_tokens).where(_T.refresh_expires_at <= unit.now))
    count = unit.db.execute(select(func.count()).select_from(tables.access_tokens)).scalar_one()
    if count >= TOKENS_MAX:
        oldest = select(_T.id).order_by(_T.created_at, _T.id).limit(1)
        unit.db.execute(delete(tables.access_tokens).where(_T.id == unit.db.execute(oldest).scalar_one()))
    until, refresh_until = unit.now + TOKEN_SECONDS, unit.now + REFRESH_SECONDS
    made = Access(
        secrets.randbelow(2**63 - 1) + 1, make_token(unit.now, until), str(uuid.uuid4()), unit.now, until, refresh_until
    )  # fmt: skip
    unit.db.execute(
        insert(tables.access_tokens).values(
            id=made.id, token_hash=_hash(made.token), refresh_hash=_hash(made.refresh_token), created_at=unit.now, expires_at=until,
            refresh_expires_at=refresh_until,
        )
    )  # fmt: skip
    return made


def check(db: Connection, token: str, now: float) -> None:
    """Raises NotAuthorized unless the token was given out, is not taken back and has not expired."""
    expires = db.execute(select(_T.expires_at).where(_T.token_hash == _hash(token))).scalar_one_or_none()
    if expires is None or expires <= now:
        raise NotAuthorized()


def refresh(unit: Unit, token: str, refresh_token: str, make_token: Callable[[float, float], str]) -> Access:
    """A new token for an old one, which may have expired and is worth nothing from now on. Raises NotAuthorized."""
    row = unit.db.execute(select(tables.access_tokens).where(_T.token_hash == _hash(token))).one_or_none()
    same = hmac.compare_digest(_hash(refresh_token), _NOBODY if row is None else row.refresh_hash)
    if row is None or not same or row.refresh_expires_at <= unit.now:
        raise NotAuthorized()
    log_out(unit, token)
    return log_in(unit, make_token)


def log_out(unit: Unit, token: str) -> None:
    """Take a token back, and its refresh token with it."""
    unit.db.execute(delete(tables.access_tokens).where(_T.token_hash == _hash(token)))


_T = tables.access_tokens.c


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_NOBODY = _hash("")
