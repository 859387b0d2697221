"""The portal's page."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from incidents.live import IncidentPortal
from incidents.models import Incident


@login_required
def incidents(request):
    """List the incidents of the companies that the viewer sees, newest first; more come live."""
    companies = IncidentPortal().visible_clients(request.user)
    rows = Incident.objects.filter(company__in=companies).select_related("company").order_by("-pk")[:50]
    return render(request, "incidents/list.html", {"incidents": rows})
