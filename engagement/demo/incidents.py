"""What the demo's alerts are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engagement.models import Alert

if TYPE_CHECKING:
    from random import Random

LOW, MEDIUM, HIGH, CRITICAL = (
    Alert.Severity.LOW,
    Alert.Severity.MEDIUM,
    Alert.Severity.HIGH,
    Alert.Severity.CRITICAL,
)


@dataclass(frozen=True, slots=True)
class Incident:
    """A kind of alert. `details` may use {subject}, {department}, {users} and {count}."""

    family: str
    subtype: str
    severity: Alert.Severity
    details: str
    frameworks: tuple[str, ...]
    about: Literal["application", "unsanctioned", "agent"] = "application"
    weight: int = 10
    industries: tuple[str, ...] = ()
    """Where it happens; empty: anywhere."""


INCIDENTS = (
    Incident(
        "Data loss", "Personal data", HIGH,
        "{count} prompts to {subject} from {department} held names, addresses or dates of birth",
        ("GDPR", "SOC 2"),
    ),
    Incident(
        "Data loss", "Card numbers", CRITICAL,
        "{count} payment card numbers were pasted into {subject} by {department}",
        ("PCI DSS",), weight=4,
    ),
    Incident(
        "Data loss", "Health records", CRITICAL,
        "A document with {count} patient records was uploaded to {subject} by {department}",
        ("HIPAA", "GDPR"), weight=6,
        industries=("Healthcare",),
    ),
    Incident(
        "Data loss", "Credentials", HIGH,
        "{count} passwords or access keys were shared with {subject} from {department}",
        ("SOC 2", "ISO 27001"), weight=6,
    ),
    Incident(
        "Data loss", "Confidential documents", MEDIUM,
        "{count} files marked confidential were summarised with {subject} in {department}",
        ("ISO 27001",),
    ),
    Incident(
        "Usage", "Unsanctioned application", MEDIUM,
        "{users} people in {department} used {subject}, which is not sanctioned",
        ("ISO 27001", "SOC 2"),
        about="unsanctioned", weight=14,
    ),
    Incident(
        "Usage", "Sign-up with a work address", LOW,
        "{users} people in {department} opened private {subject} accounts with their work address",
        ("ISO 27001",),
        about="unsanctioned",
    ),
    Incident(
        "Usage", "Unusual volume", LOW,
        "{department} used {subject} {count} times within the hour, three times its usual rate",
        ("NIST AI RMF",), weight=14,
    ),
    Incident(
        "Usage", "Outside working hours", LOW,
        "{users} people of {department} used {subject} between midnight and five",
        ("SOC 2",), weight=8,
    ),
    Incident(
        "Compliance", "Training on customer data", HIGH,
        "{subject} accounts of {department} allow their prompts to be used for training",
        ("GDPR", "EU AI Act"), weight=5,
    ),
    Incident(
        "Compliance", "Retention", MEDIUM,
        "{subject} keeps conversations of {department} longer than the policy's 30 days",
        ("GDPR", "SOC 2"), weight=7,
    ),
    Incident(
        "Compliance", "Automated decision", MEDIUM,
        "{subject} decided {count} cases of {department} without the human review on record",
        ("EU AI Act", "GDPR"),
        about="agent", weight=8,
    ),
    Incident(
        "Agent behaviour", "Prompt injection", CRITICAL,
        "{subject} followed instructions hidden in a document that {department} gave it",
        ("NIST AI RMF", "ISO 42001"),
        about="agent", weight=4,
    ),
    Incident(
        "Agent behaviour", "Excessive permissions", HIGH,
        "{subject} read {count} mailboxes that {department} had not shared with it",
        ("SOC 2", "ISO 42001"),
        about="agent", weight=6,
    ),
    Incident(
        "Agent behaviour", "Repeated failures", LOW,
        "{subject} gave up {count} tasks of {department} in a row",
        ("NIST AI RMF",), about="agent", weight=9,
    ),
)  # fmt: skip


def choose(rng: Random, possible: set[str], industry: str) -> Incident | None:
    """Return an incident about one of the `possible` kinds of subject, or None where there is none."""
    fitting = [
        incident
        for incident in INCIDENTS
        if incident.about in possible and (not incident.industries or industry in incident.industries)
    ]
    return rng.choices(fitting, weights=[incident.weight for incident in fitting])[0] if fitting else None


def extent(rng: Random) -> tuple[int, int]:
    """Return how many users an incident touched and how often it happened; mostly few, at least two."""
    users = 2 + int(rng.expovariate(0.5))
    return users, users + int(rng.expovariate(0.25))
