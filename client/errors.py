"""What can go wrong, by what the user can do about it. Each kind has its exit code."""

from __future__ import annotations

from typing import ClassVar


class ClientError(Exception):
    """The root of the tree; never raised itself. `advice` says what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class UsageProblem(ClientError):
    """An option, a profile or a file that the user named is wrong; nothing was sent."""

    exit_code = 2


class SignInFailed(ClientError):
    """Nothing to sign in with, or the function does not accept it."""

    exit_code = 3


class NotGranted(ClientError):
    """The policy does not allow the request."""

    exit_code = 4


class AlreadyExists(ClientError):
    """The name is taken, or the file is there already."""

    exit_code = 5


class RequestRefused(ClientError):
    """The function cannot accept the request as it is."""

    exit_code = 6


class Unavailable(ClientError):
    """No answer yet: the same command goes on where this one stopped."""

    exit_code = 7


class ServiceFailed(ClientError):
    """The function or the cloud failed; its operator has to look."""

    exit_code = 8


class NotOpened(ClientError):
    """An envelope that cannot be opened, or a key that fails a check."""

    exit_code = 9


class LocalFailure(ClientError):
    """A file, an agent or a program of this machine."""

    exit_code = 10
