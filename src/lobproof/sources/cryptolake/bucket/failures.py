"""What the bucket answers when it does not give what was asked for: every failure by its kind."""

from __future__ import annotations

from lobproof.errors import (
    AccessDeniedError,
    ChangedError,
    CredentialsError,
    NotFoundError,
    RemoteError,
    UnavailableError,
)

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_INVALID = {
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "AuthorizationHeaderMalformed",
    "RequestTimeTooSkewed",
    "InvalidSecurity",
}
_BUSY = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "InternalError"}


def refusal(status: int, code: str, message: str) -> RemoteError:
    """One of our errors for an answer's status, and for the code that S3 gives with it."""
    if code in _EXPIRED:
        return CredentialsError(
            f"{message}: the credentials have expired",
            hint="get new ones and run the same command again",
        )
    if code in _INVALID or status == 401:
        return CredentialsError(
            f"{message}: the store does not take the credentials",
            hint="check access key, secret and token, and the clock of this machine",
        )
    if status in (412, 416):
        return ChangedError(f"{message}: the object has changed", hint="run the same command again")
    if code in _BUSY or status >= 500 or status in (408, 429):
        return UnavailableError(message, hint="wait a while and run the same command again")
    if status == 403:
        return AccessDeniedError(
            message,
            hint="check that the plan covers this data, or use sample= (--sample) for the free one",
        )
    if code == "NoSuchBucket":
        return NotFoundError(message, hint="check bucket and endpoint")
    if status == 404:
        return NotFoundError(message, hint="`lobproof acquire list-inventory` shows what is there")
    if 300 <= status < 400:
        return RemoteError(
            f"{message}: the store points elsewhere, and nothing is followed",
            hint="check endpoint, region and bucket",
        )
    return RemoteError(message, hint="check endpoint, region and bucket")
