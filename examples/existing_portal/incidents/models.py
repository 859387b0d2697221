"""Partners, the companies they look after, people with a place at either, incidents and what was used."""

from django.conf import settings
from django.db import models

from realtime.capture.tracking import Told, TrackedModel, TrackedQuerySet


class Partner(models.Model):
    """A managed service provider."""

    name = models.CharField(max_length=100)

    def __str__(self):
        return self.name


class Company(models.Model):
    """A client of a partner."""

    name = models.CharField(max_length=100)
    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, related_name="companies")

    def __str__(self):
        return self.name


class Profile(models.Model):
    """Where a user works: at a partner, or at a company."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    partner = models.ForeignKey(Partner, on_delete=models.CASCADE, null=True, blank=True)
    company = models.ForeignKey(Company, on_delete=models.CASCADE, null=True, blank=True)

    def __str__(self):
        return f"{self.user} at {self.partner or self.company}"


class Incident(TrackedModel):
    """Something that happened at a company."""

    class Level(models.TextChoices):
        """How bad it is."""

        LOW = "low"
        HIGH = "high"
        CRITICAL = "critical"

    company = models.ForeignKey(Company, on_delete=models.CASCADE)
    text = models.TextField()
    level = models.CharField(max_length=10, choices=Level.choices, default=Level.LOW)
    reported_at = models.DateTimeField(auto_now_add=True)

    told = Told(
        columns=("company_id", "text", "level"), both_sides=("company_id", "text", "level"), others="untold"
    )
    objects = TrackedQuerySet.as_manager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self):
        return self.text


class UsageRecord(models.Model):
    """How often a service was used at a company on one day. Not told live."""

    company = models.ForeignKey(Company, on_delete=models.CASCADE)
    service = models.CharField(max_length=100)
    day = models.DateField()
    count = models.PositiveIntegerField(default=0)

    def __str__(self):
        return f"{self.service} on {self.day}: {self.count}"
