"""What the hub refuses, in words of the domain; a facet turns each into its vendor's status and body."""


class Refused(Exception):
    """A request that is not carried out. The text is for the person who reads it and never holds a secret."""

    status = 400  # the HTTP status that every vendor so far uses for this kind


class Malformed(Refused):
    """Not readable at all: broken JSON, wrong shape, an unknown key."""

    status = 400


class NotAuthorized(Refused):
    """No such device or operator, or the key is wrong; which of them is not told."""

    status = 401

    def __init__(self, message: str = "Not authorized") -> None:
        super().__init__(message)


class NotAllowed(Refused):
    """Known and readable, but this change of state is not legal."""

    status = 403


class NotFound(Refused):
    """The thing that is named does not exist."""

    status = 404


class Conflict(Refused):
    """Known and readable, but no longer possible: something has happened before."""

    status = 409


class Invalid(Refused):
    """Readable, but a value is not acceptable, or contradicts what the hub holds."""

    status = 422


class TooMany(Refused):
    """A rate limit is reached."""

    status = 429
