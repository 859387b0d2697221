"""Settings of the portal, read from the environment (`.env.example` lists every variable).

Defaults serve one developer on one machine: SQLite, the in-memory channel layer, DEBUG on. With DEBUG off,
what must not be guessed (SECRET_KEY, ALLOWED_HOSTS) has no default.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

DEBUG = env.bool("DEBUG", default=True)
SECRET_KEY = (
    env("SECRET_KEY", default="only-for-development-never-in-production-0123456789")
    if DEBUG
    else env("SECRET_KEY")
)
ALLOWED_HOSTS: list[str] = env.list(
    "ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"] if DEBUG else []
)

# Who may open pages, call the API and open sockets from a browser: exact scheme, host and port. Same-origin
# needs no entry.
CORS_ALLOWED_ORIGINS: list[str] = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_ALLOW_CREDENTIALS = True
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=CORS_ALLOWED_ORIGINS)

INSTALLED_APPS = [
    "realtime",  # before daphne: its runserver serves with our server class
    "daphne",  # before staticfiles
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "corsheaders",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "axes",
    "engagement",
]

MIDDLEWARE = [
    "engagement.middleware.probes.probes",
    "engagement.middleware.time_limit.time_limit",
    "engagement.middleware.caching.NoStore",
    "engagement.middleware.wellformed.WellFormed",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "engagement.middleware.same_user.SameUser",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "engagement.middleware.failures.DatabaseFailures",
]

ROOT_URLCONF = "compliance_portal.urls"
ASGI_APPLICATION = "compliance_portal.asgi.application"
WSGI_APPLICATION = "compliance_portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]


def database(url: str) -> dict[str, Any]:
    """Return the Django settings of the database at `url`, with what each vendor needs under concurrent
    writers.

    SQLite: WAL, and transactions that take the write lock when they begin; else most concurrent ones fail
    with "database is locked" (163 to 297 of 360 did). PostgreSQL: a pool, since ASGI threads would open
    a backend per call.
    """
    config: dict[str, Any] = env.db_url_config(url)
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        options |= {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
        }
        # The hub's threads ask again and again, and opening the file took most of each query. Not for ever: a file
        # that was put in its place, a restored backup, has to be noticed.
        config["CONN_MAX_AGE"] = 2
    elif config["ENGINE"] == "django.db.backends.postgresql":
        # Behind a pooler that shares sessions out by transaction (0), neither plans nor cursors outlive one.
        prepare_after = env.int("DATABASE_PREPARE_AFTER", default=5)
        config["DISABLE_SERVER_SIDE_CURSORS"] = prepare_after == 0
        # With a pool, it is the pool that keeps connections: for as long as the URL says.
        lifetime = config.pop("CONN_MAX_AGE", None) or 1800
        options.setdefault(
            "pool",
            {
                "min_size": 2,
                "max_size": env.int("DATABASE_POOL_SIZE", default=20),
                "timeout": 5,  # then HTTP 503, told in words
                "max_lifetime": lifetime,
            },
        )
        options.setdefault("connect_timeout", 5)
        # Plans of `realtime.events.rows` are kept; never (0) behind a pooler that shares sessions out by transaction.
        options.setdefault("prepare_threshold", prepare_after or None)
        config["CONN_HEALTH_CHECKS"] = (
            True  # after a restart of PostgreSQL each pooled connection would fail once
        )
    # Every action has a transaction of its own. One around each request would undo what has to stay, such as the count
    # of failed sign-ins, and async views cannot have one.
    config["ATOMIC_REQUESTS"] = False
    return config


DATABASE_URL: str = env("DATABASE_URL", default=f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URLS: list[str] = env.list("REDIS_URL", default=[])
CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        # Pub/sub: the core layer loses messages silently under load (more than 100 waiting in a process).
        # What this one may lose, the rows repair.
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {
            # Of several, each carries the groups whose names hash to it: the same list in the same order everywhere.
            "hosts": [
                {"address": url, "socket_timeout": 5, "socket_connect_timeout": 2} for url in REDIS_URLS
            ],
            "prefix": env("REDIS_PREFIX", default="portal"),
            "symmetric_encryption_keys": env.list("CHANNEL_ENCRYPTION_KEY", default=[]),
        },
    }
    if REDIS_URLS
    else {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 10_000}}
}

# SQLite ignores the covering columns that PostgreSQL uses for its index-only sums: as intended.
SILENCED_SYSTEM_CHECKS = ["models.W040"]

AUTH_USER_MODEL = "engagement.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
AXES_FAILURE_LIMIT = env.int("LOGIN_FAILURE_LIMIT", default=10)
AXES_COOLOFF_TIME = timedelta(minutes=env.int("LOGIN_COOLOFF_MINUTES", default=15))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_HANDLER = "engagement.sign_in.SignInHandler"
AXES_CLIENT_IP_CALLABLE = "engagement.sign_in.client_network"
AXES_LOCKOUT_CALLABLE = "engagement.sign_in.locked_out"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
LOGIN_NETWORK_FAILURE_LIMIT = env.int("LOGIN_NETWORK_FAILURE_LIMIT", default=100)
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework_simplejwt.authentication.JWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=env.int("ACCESS_TOKEN_SECONDS", default=600)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=1),
    "CHECK_REVOKE_TOKEN": True,
    "UPDATE_LAST_LOGIN": False,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Compliance portal API",
    "DESCRIPTION": "How people use AI services, by client: engagement, interactions and alerts.",
    "VERSION": "1.0.0",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "engagement.api.docs.add_refusals",
    ],
}

# What is worked on at once in a process. Each takes a thread and may take a connection of the database's pool, of which
# the hub needs some dozen. Hashing a password takes a second of a core: half of the cores are left for everybody else.
HTTP_REQUESTS_AT_ONCE = env.int("HTTP_REQUESTS_AT_ONCE", default=8)
SIGN_INS_AT_ONCE = env.int("SIGN_INS_AT_ONCE", default=0) or max(1, (os.cpu_count() or 1) // 2)
HTTP_STATEMENT_SECONDS = env.float("HTTP_STATEMENT_SECONDS", default=5)

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
    }
}
if not DEBUG:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = [r"^(?:healthz|readyz|metrics)$"]  # asked by neighbours, without TLS
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Who may read /metrics from elsewhere than this machine: a bearer token. Empty: nobody.
METRICS_TOKEN: str = env("METRICS_TOKEN", default="")

LOG_FORMAT: str = env("LOG_FORMAT", default="console" if sys.stderr.isatty() or DEBUG else "json")
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"no_credentials": {"()": "compliance_portal.logs.NoCredentials"}},
    "formatters": {"structured": {"()": "compliance_portal.logs.formatter", "style": LOG_FORMAT}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "structured",
            "filters": ["no_credentials"],
        },
    },
    "root": {"handlers": ["stderr"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "daphne": {"level": "WARNING"},
        # uvicorn has handlers of its own and writes whole URLs: its lines go through ours, which scrub them.
        "uvicorn": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn.access": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "psycopg.pool": {"level": "ERROR"},
        "channels_redis": {
            "level": "CRITICAL"
        },  # a traceback for each lost connection; the hub says it in one line
        "axes": {"level": "WARNING"},
    },
}

# What the engine must know of this portal: who the clients are, whose, and who sees them.
REALTIME_PORTAL = "engagement.live.EngagementPortal"
REALTIME_CLIENT_MODEL = "engagement.Client"
REALTIME_MSP_MODEL = "engagement.MSP"

# Every REALTIME_* variable of the environment becomes a setting; `realtime.conf` types, defaults and
# documents them.
REALTIME: dict[str, str] = {
    name.removeprefix("REALTIME_"): value
    for name, value in env.ENVIRON.items()
    if name.startswith("REALTIME_")
}
