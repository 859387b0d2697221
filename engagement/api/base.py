"""What the API's views share: JSON in and out, errors of one shape, and clients by the viewer's eyes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from engagement.api import errors
from engagement.api.parsers import JSONParser
from engagement.live import positions_before
from engagement.models import Client

Row = TypeVar("Row", bound=Model)

CLIENT_ID = OpenApiParameter(
    "client_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="A client's id."
)
APP_ID = OpenApiParameter(
    "app_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="An application's id."
)
ALERT_ID = OpenApiParameter(
    "alert_id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="An alert's id."
)

REFUSAL = inline_serializer(
    "Refusal",
    {
        "detail": serializers.CharField(help_text="A sentence for people."),
        "code": serializers.CharField(help_text="A stable word for machines."),
        "errors": serializers.DictField(required=False, help_text="By field, where fields are wrong."),
    },
)
NOT_FOUND = OpenApiResponse(REFUSAL, "There is no such row among those you see.")
INVALID = OpenApiResponse(REFUSAL, "The request does not fit.")
CONFLICT = OpenApiResponse(REFUSAL, "The row's state does not allow it.")
UNAUTHORIZED = OpenApiResponse(REFUSAL, "The credentials do not hold.")


def visible_or_404(rows: QuerySet[Row], pk: object, what: str) -> Row:
    """Return the row of `rows`, which are those the viewer sees. Unknown, foreign and malformed ids answer alike.

    Raises NotFound.
    """
    try:
        row = rows.filter(pk=UUID(str(pk))).first()
    except ValueError:
        row = None
    if row is None:
        raise NotFound(f"There is no such {what} among those you see.")
    return row


class PortalAPIView(APIView):
    """JSON in, JSON out, refusals as `errors.answer` writes them."""

    renderer_classes = (JSONRenderer,)
    parser_classes = (JSONParser,)
    query_parameters: ClassVar[tuple[str, ...]] = ()
    """Names that the query may have, beside those of the view's filters and pages."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a query parameter that means nothing here: a filter with a typing error would show everything."""
        super().initial(request, *args, **kwargs)
        known = self._known_parameters()
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise ValidationError({unknown[0][:50]: [f"No such query parameter here: {takes}."]})

    def _known_parameters(self) -> set[str]:
        filters = getattr(getattr(self, "filterset_class", None), "base_filters", {})
        pages = getattr(self, "pagination_class", None)
        names = ("page_query_param", "page_size_query_param", "cursor_query_param")
        paging = {getattr(pages, name, None) for name in names} - {None}
        return {*self.query_parameters, *filters, *paging}

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Answer refusals in the API's own shape, whatever the project's setting."""
        return errors.answer


@extend_schema(parameters=[CLIENT_ID])
class ClientView(PortalAPIView):
    """A view below `clients/<client_id>/`."""

    @cached_property
    def client(self) -> Client:
        """The client of the path.

        Raises NotFound where the viewer does not see it.
        """
        return visible_or_404(
            Client.objects.visible_to(self.request.user).select_related("msp"),
            self.kwargs["client_id"],
            "client",
        )


def answer_with_positions(
    request: Request, client: Client | None, read: Callable[[], dict[str, Any]]
) -> Response:
    """Answer what `read` returns, and the positions of the streams to go live from. They are read first.

    `client` is None where the answer spans all the clients that the viewer sees.
    """
    positions = positions_before(request.user, client.pk if client else None)
    return Response(read() | positions)
