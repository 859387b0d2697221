"""The portal's admin site."""

from django.contrib import admin

from incidents.models import Company, Incident, Partner, Profile, UsageRecord

admin.site.register([Company, Incident, Partner, Profile, UsageRecord])
