"""Who may call the Span facet, and the tokens that show it."""

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.requests import HTTPConnection

from tools.hub.errors import Invalid, NotAllowed, NotAuthorized
from tools.hub.facets import wire
from tools.hub.facets.span import shapes
from tools.hub.hub import Hub
from tools.hub.security.tokens import Access

_JWT_MAX_SECONDS = 366 * 86_400


class SpanAccess:
    """Judges credentials: of a request, of a web socket, and of a JWT that came alone."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def reads(self, request: Request) -> None:
        """A dependency of calls that read. Raises NotAuthorized."""
        self._required(request)

    async def writes(self, request: Request) -> None:
        """A dependency of calls that change something. Raises NotAuthorized, and NotAllowed for a token that only reads."""
        if self._required(request) != "write":
            raise NotAllowed("Not allowed: this token only reads")

    async def make_tokens(self, request: Request) -> JSONResponse:
        """Make tokens, with the operator key only: the read-only token of this hub, and a JWT for so many seconds that reads or writes."""
        self._hub.check_operator(request.headers.get("x-api-token") or wire.authorization(request))
        body = await wire.read_object(request)
        seconds, write = body.get("seconds", 3600), body.get("write", False)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= _JWT_MAX_SECONDS:
            raise Invalid(f"seconds must be a whole number from 1 to {_JWT_MAX_SECONDS}")
        if not isinstance(write, bool):
            raise Invalid("write must be true or false")
        expires = int(self._hub.now()) + seconds
        jwt = self._hub.tokens.jwt("write" if write else "read", expires)
        return JSONResponse({"apiToken": self._hub.tokens.read_only, "jwt": jwt, "expires": shapes.milliseconds(expires)})

    def given(self, connection: HTTPConnection) -> Access | None:
        """What the credentials allow; None when there are none. Raises NotAuthorized when they are wrong."""
        tokens = self._hub.tokens
        token = connection.headers.get("x-api-token")
        authorization = connection.headers.get("authorization")
        in_query = connection.query_params.get("api_token")
        access: Access | None = None
        if token:
            access = tokens.access_of(token)
        elif authorization:
            scheme, _, rest = authorization.partition(" ")
            is_jwt = scheme.upper() == "TOKEN"
            access = self.of_jwt(rest) if is_jwt else tokens.access_of(authorization.removeprefix("Bearer "))
        elif in_query:
            access = tokens.access_of(in_query)
            if access == "write":
                raise NotAuthorized("Not authorized: api_token takes a read-only token; one that writes belongs into X-API-Token")
        else:
            return None
        if access is None:
            raise NotAuthorized()
        return access

    def of_jwt(self, jwt: str) -> Access | None:
        """What this JWT allows now; None when it is not ours or has expired."""
        return self._hub.tokens.access_of_jwt(jwt, self._hub.now())

    def _required(self, connection: HTTPConnection) -> Access:
        access = self.given(connection)
        if access is None:
            raise NotAuthorized("Not authorized: send X-API-Token, or Authorization: TOKEN and a JWT")
        return access
