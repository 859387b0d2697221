"""What ends a watch."""

from __future__ import annotations


class WatchError(Exception):
    """The watch cannot begin or go on; the message is one line and says the remedy where there is one."""


class Unreachable(WatchError):
    """No server answered. What was going on already may try again; what only begins may not."""


class SignInRefused(WatchError):
    """The server does not accept the credentials."""
