"""What the domain refuses, as one tree. Every message says the remedy; `code` is stable, for machines.

::

    EngagementError
    ├── InvalidValue        a value outside its range, or a combination that means nothing
    ├── WrongTenant         rows of different clients in one deed
    ├── NotAllowed          the acting user does not see, or may not change, the row
    └── InvalidTransition   the alert's status does not allow the deed
"""

from __future__ import annotations


class EngagementError(Exception):
    """Something the domain refuses; `str(error)` is a sentence for people."""

    code = "refused"


class InvalidValue(EngagementError):
    """A value is outside its range, or values that exclude each other were given together."""

    code = "invalid"


class WrongTenant(EngagementError):
    """A row belongs to another client than the one the deed is for."""

    code = "wrong_tenant"


class NotAllowed(EngagementError):
    """The acting user does not see the row, or may not change it. Both read alike."""

    code = "not_allowed"


class InvalidTransition(EngagementError):
    """An alert's status does not allow what was asked of it."""

    code = "invalid_transition"
