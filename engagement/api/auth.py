"""Tokens: obtained with a password, refreshed with a refresh token; and who the caller is."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.signals import user_logged_in
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.views import TokenViewBase

from engagement import access
from engagement.api.base import INVALID, REFUSAL, UNAUTHORIZED, PortalAPIView
from engagement.api.errors import LockedOut
from engagement.models import User

MAX_USERNAME = 150
"""Characters, as in the sign-in form and the column."""


class SignInSerializer(TokenObtainPairSerializer):
    """Checks username and password, by the rules of the sign-in form; says when there were too many failures."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[self.username_field] = serializers.CharField(max_length=MAX_USERNAME)
        # Spaces belong to a password, as they do in the form.
        self.fields["password"] = serializers.CharField(trim_whitespace=False, write_only=True)

    def validate_username(self, value: str) -> str:
        """Return the name in the one spelling that names are kept in, as the form does."""
        return User.normalize_username(value)

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Return `{access, refresh}`.

        Raises AuthenticationFailed for wrong credentials; LockedOut once there were too many failures.
        """
        request = self.context["request"]
        try:
            tokens = super().validate(attrs)
        except AuthenticationFailed:
            # django-axes leaves word on DRF's request, out of its middleware's reach, which would answer in HTML.
            if getattr(request, "axes_locked_out", False):
                raise LockedOut from None
            raise AuthenticationFailed("Wrong username or password, or the account is not active.") from None
        user_logged_in.send(type(self.user), request=request, user=self.user)  # resets the count of failures
        return tokens


class RefreshSerializer(TokenRefreshSerializer):
    """Checks that the refresh token's user still is who they were: exists, is active, has the same password."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Return `{access}`.

        Raises TokenError for a bad token; AuthenticationFailed for a user without access. simplejwt itself
        answers a deleted user with HTTP 500 (simplejwt#860).
        """
        JWTAuthentication().get_user(self.token_class(attrs["refresh"]))
        return super().validate(attrs)


class TokenView(PortalAPIView, TokenViewBase):
    """Obtain a pair of tokens."""

    serializer_class = SignInSerializer

    @extend_schema(
        operation_id="auth_token",
        responses={
            200: TokenObtainPairSerializer,
            400: INVALID,
            401: UNAUTHORIZED,
            429: OpenApiResponse(REFUSAL, "Too many failed sign-ins."),
        },
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Exchange a username and password for an access token (minutes) and a refresh token (a day)."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return Response(serializer.validated_data)


class RefreshView(PortalAPIView, TokenViewBase):
    """Refresh an access token."""

    serializer_class = RefreshSerializer

    @extend_schema(
        operation_id="auth_token_refresh", responses={200: RefreshSerializer, 400: INVALID, 401: UNAUTHORIZED}
    )
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Exchange a refresh token for a new access token."""
        serializer = self.get_serializer(data=request.data)
        try:
            serializer.is_valid(raise_exception=True)
        except TokenError as error:
            raise InvalidToken(str(error)) from error
        return Response(serializer.validated_data)


class MeSerializer(serializers.Serializer[Any]):
    """Who the caller is, and how far they see."""

    id = serializers.UUIDField()
    username = serializers.CharField()
    name = serializers.CharField(help_text="Full name, or the username where there is none.")
    email = serializers.EmailField(allow_blank=True)
    role = serializers.CharField(
        allow_null=True, help_text="msp_admin, msp_user, client_admin, client_user, or null."
    )
    scope = serializers.CharField(
        allow_null=True, help_text='"msp", "client", "all" (a superuser), or null: sees nothing.'
    )
    msp_id = serializers.UUIDField(allow_null=True)
    msp = serializers.CharField(allow_null=True)
    client_id = serializers.UUIDField(allow_null=True)
    client = serializers.CharField(allow_null=True)
    is_staff = serializers.BooleanField(help_text="May open the admin site.")


def me(user: User) -> dict[str, Any]:
    """Return who `user` is and how far they see, as `GET me` answers it: see `MeSerializer`. One query."""
    user = User.objects.select_related("msp", "client__msp").get(pk=user.pk)
    scope = access.scope_of(user)
    client = user.client if scope and not scope.is_msp else None
    msp = (client.msp if client else user.msp) if scope else None
    return dict(
        MeSerializer(
            {
                "id": user.pk,
                "username": user.username,
                "name": user.get_full_name() or user.username,
                "email": user.email,
                "role": user.role or None,
                "scope": "all" if user.is_superuser else scope and ("msp" if scope.is_msp else "client"),
                "msp_id": msp and msp.pk,
                "msp": msp and msp.name,
                "client_id": client and client.pk,
                "client": client and client.name,
                "is_staff": user.is_staff,
            }
        ).data
    )


class MeView(PortalAPIView):
    """The caller."""

    @extend_schema(operation_id="me", responses={200: MeSerializer, 401: UNAUTHORIZED})
    def get(self, request: Request) -> Response:
        """Say who the caller is, and which MSP or client they see."""
        return Response(me(cast("User", request.user)))
