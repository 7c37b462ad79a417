"""Everything that can be set, read from the environment in one place: `python manage.py settings` lists it."""

from __future__ import annotations

import os
import secrets
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from csp.constants import NONCE, NONE, SELF

from config.env import Environment, chosen_by_up, remembered_address

BASE_DIR = Path(__file__).resolve().parent.parent
os.environ.update(chosen_by_up(sys.argv))
env = Environment()

# --- where things are ----------------------------------------------------------------------------
HOLDFAST_DATA = env.folder(
    "HOLDFAST_DATA", BASE_DIR / "var", help="folder of this installation: database, generated keys, data sets"
)
HOLDFAST_BASE_URL = env.web_address(
    "HOLDFAST_BASE_URL",
    remembered_address(HOLDFAST_DATA) or "http://127.0.0.1:8000",
    help="address under which people and vendors reach Holdfast; default: where `up` last listened",
)
HOLDFAST_DATA_ROOTS = env.folders(
    "HOLDFAST_DATA_ROOTS",
    [HOLDFAST_DATA / "datasets"],
    help="folders of data sets that diagnosis may read; nothing outside them is opened",
)
HTTPS = HOLDFAST_BASE_URL.startswith("https://")

# --- keys ----------------------------------------------------------------------------------------


def _long_enough(value: str) -> None:
    if len(value) < 32:
        raise ValueError("shorter than 32 characters")


def _fernet_keys(value: str) -> list[str]:
    keys = [key.strip() for key in value.split(",") if key.strip()]
    for key in keys:
        Fernet(key)
    return keys


SECRET_KEY = env.secret(
    "HOLDFAST_SECRET_KEY",
    HOLDFAST_DATA / "secret.key",
    lambda: secrets.token_urlsafe(50),
    _long_enough,
    help="signs sessions and links; at least 32 random characters, the same on every host",
)
HOLDFAST_ENCRYPTION_KEYS = _fernet_keys(
    env.secret(
        "HOLDFAST_ENCRYPTION_KEYS",
        HOLDFAST_DATA / "encryption.key",
        lambda: Fernet.generate_key().decode(),
        _fernet_keys,
        help="Fernet keys that encrypt connection secrets, newest first, separated by commas",
    )
)

# --- web -----------------------------------------------------------------------------------------
DEBUG = env.flag("HOLDFAST_DEBUG", False, help="Django's debug pages; never on an address others can reach")
ALLOWED_HOSTS = env.words(
    "HOLDFAST_ALLOWED_HOSTS",
    [urlsplit(HOLDFAST_BASE_URL).hostname or "localhost"],
    help="host names that are answered, beside this machine's own; default: the host of HOLDFAST_BASE_URL",
)
# health checks and the supervisor ask under these; no browser can be brought to send them from elsewhere
ALLOWED_HOSTS = [*ALLOWED_HOSTS, "127.0.0.1", "localhost", "[::1]"]
HOLDFAST_TRUSTED_PROXIES = env.words(
    "HOLDFAST_TRUSTED_PROXIES",
    [],
    help="addresses or CIDRs of reverse proxies whose X-Forwarded-For and -Proto are believed",
)
HOLDFAST_EGRESS_ALLOW = env.networks(
    "HOLDFAST_EGRESS_ALLOW", help="private networks that outgoing requests may reach; public ones always may"
)
HOLDFAST_EGRESS_PROXY = env.flag(
    "HOLDFAST_EGRESS_PROXY", False, help="send outgoing requests through HTTP_PROXY, HTTPS_PROXY and NO_PROXY"
)
HOLDFAST_CA_BUNDLE = env.text(
    "HOLDFAST_CA_BUNDLE",
    help="PEM file of the authorities that outgoing TLS trusts, instead of the public ones",
)
HOLDFAST_INBOUND_MAX_BYTES = env.number(
    "HOLDFAST_INBOUND_MAX_BYTES", 4 * 1024 * 1024, low=1024, help="largest inbound message, in bytes"
)
HOLDFAST_METRICS_TOKEN = env.text(
    "HOLDFAST_METRICS_TOKEN",
    secret=True,
    help="bearer token for /metrics; without it only this machine may read them",
)
HOLDFAST_WEB_PROCESSES = env.number(
    "HOLDFAST_WEB_PROCESSES", 1, low=1, high=64, help="web processes per host; 1 in embedded mode"
)
HOLDFAST_WEB_THREADS = env.number(
    "HOLDFAST_WEB_THREADS", 32, low=1, high=256, help="requests that one web process works on at a time"
)
SECURE_PROXY_SSL_HEADER = None  # the scheme is taken over in config.wsgi, from trusted proxies only
HOLDFAST_LINK_APPROVALS = env.choice(
    "HOLDFAST_LINK_APPROVALS",
    "",
    ("", "R1", "R2"),
    help="highest risk class that the signed link in a message to one person's own e-mail address decides without a "
    "sign-in; default: none, every link asks to sign in",
)
WSGI_APPLICATION = "config.wsgi.application"
ROOT_URLCONF = "config.urls"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
DATA_UPLOAD_MAX_MEMORY_SIZE = HOLDFAST_INBOUND_MAX_BYTES

# --- parts ---------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "config",
    "integrations",
    "playbooks",
    "incidents",
    "config.apps.ConsoleConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "django_fsm",
    "django_htmx",
    "csp",
    "axes",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # pages carry a masked token and a random length, which is what BREACH would need to be the same
    "django.middleware.gzip.GZipMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.observability.RequestNames",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "incidents.audit.middleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.sign_in.gate.Gate",
    "config.navigation.ViewersTimeZone",
    "django_htmx.middleware.HtmxMiddleware",
    "csp.middleware.CSPMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "config" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "config.navigation.navigation",
            ],
        },
    },
]
AUTH_USER_MODEL = "incidents.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- database ------------------------------------------------------------------------------------
_database = env.database(
    "DATABASE_URL",
    f"sqlite:///{HOLDFAST_DATA / 'holdfast.sqlite3'}",
    help="where the truth is: SQLite for one host, PostgreSQL 15 or newer for several",
)
DATABASE_VENDOR: str = _database.pop("vendor")
if DATABASE_VENDOR == "sqlite":
    _default: dict[str, Any] = {
        "ENGINE": "config.sqlite",
        "NAME": _database["NAME"],
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            # seconds: for the process-wide write lock and for SQLite's own lock against other processes
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            # FULL: a commit that was answered survives a power cut (WAL with NORMAL may lose the last ones)
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
            " PRAGMA cache_size=-16000; PRAGMA journal_size_limit=67108864;",
        },
    }
else:
    _default = {
        "ENGINE": "django.db.backends.postgresql",
        **_database,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": "5", "application_name": "holdfast", **_database["OPTIONS"]},
    }
DATABASES = {"default": _default}

# --- broker and worker ---------------------------------------------------------------------------
HOLDFAST_BROKER_URL = env.broker(
    "HOLDFAST_BROKER_URL",
    "memory://",
    help="wakes workers; memory:// runs web and worker in one process, redis://… spreads them over hosts",
)
EMBEDDED = HOLDFAST_BROKER_URL.startswith("memory:")
HOLDFAST_WORKER_THREADS = env.number(
    "HOLDFAST_WORKER_THREADS", 4, low=1, high=64, help="steps and deliveries that one worker does at a time"
)
HOLDFAST_SHUTDOWN_SECONDS = env.number(
    "HOLDFAST_SHUTDOWN_SECONDS",
    8,
    low=1,
    high=600,
    help="time for work in hand when a process is asked to stop",
)

# --- sign-in -------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "config.sign_in.backends.LocalPasswords",
    "config.sign_in.backends.SingleSignOn",
]
HOLDFAST_LOCAL_PASSWORDS = env.choice(
    "HOLDFAST_LOCAL_PASSWORDS",
    "all",
    ("all", "superusers", "none"),
    help="who may sign in with a password kept here; `superusers` leaves a way in while single sign-on is down",
)
HOLDFAST_SECOND_FACTOR_FOR = env.words(
    "HOLDFAST_SECOND_FACTOR_FOR",
    [],
    help="roles that must have a second factor, for example ADM,IC; or all",
)
HOLDFAST_OIDC_ISSUER = env.web_address(
    "HOLDFAST_OIDC_ISSUER",
    "",
    help="single sign-on by OpenID Connect: the provider's issuer, below which its discovery document is",
)
HOLDFAST_OIDC_CLIENT_ID = env.text(
    "HOLDFAST_OIDC_CLIENT_ID", help="what the provider calls this installation"
)
HOLDFAST_OIDC_CLIENT_SECRET = env.text(
    "HOLDFAST_OIDC_CLIENT_SECRET",
    secret=True,
    help="the client's secret; empty for a public client (PKCE alone)",
)
HOLDFAST_OIDC_NAME = env.text(
    "HOLDFAST_OIDC_NAME", "single sign-on", help="name on the button: “Sign in with …”"
)
HOLDFAST_OIDC_SCOPES = env.words(
    "HOLDFAST_OIDC_SCOPES",
    ["openid", "profile", "email"],
    help="what the provider is asked for; openid is needed",
)
HOLDFAST_OIDC_GROUPS_CLAIM = env.text(
    "HOLDFAST_OIDC_GROUPS_CLAIM",
    "groups",
    help="claim with a person's groups; a path such as realm_access.roles works",
)
HOLDFAST_OIDC_ROLES = env.words(
    "HOLDFAST_OIDC_ROLES",
    [],
    help="roles that groups bring, for example sre=SRE,risk=MRC+DPO,credit-owners=MO@credit-risk",
)
HOLDFAST_OIDC_NEW_PEOPLE = env.choice(
    "HOLDFAST_OIDC_NEW_PEOPLE",
    "mapped",
    ("nobody", "mapped", "all"),
    help="who gets an account at the first sign-on: nobody, those in a group of HOLDFAST_OIDC_ROLES, or all",
)
HOLDFAST_OIDC_TRUST_EMAILS = env.flag(
    "HOLDFAST_OIDC_TRUST_EMAILS",
    False,
    help="take an e-mail address for verified when the provider never says; only where nobody can choose their own",
)
HOLDFAST_OIDC_SECOND_FACTOR = env.choice(
    "HOLDFAST_OIDC_SECOND_FACTOR",
    "amr",
    ("amr", "always", "never"),
    help="when the provider's second factor stands for ours: when its `amr` says mfa, always, or never",
)
SESSION_ENGINE = "config.sign_in.sessions"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
AXES_FAILURE_LIMIT = env.number(
    "HOLDFAST_LOGIN_ATTEMPTS",
    8,
    low=1,
    help="failed sign-ins per user and address before a pause of 15 minutes",
)
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = "config.sign_in.throttle.locked_by"
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"
AXES_RESET_ON_SUCCESS = True
AXES_HTTP_RESPONSE_CODE = 429
AXES_SENSITIVE_PARAMETERS = ["password"]
AXES_VERBOSE = False
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = [HOLDFAST_BASE_URL] if HTTPS else []

# --- headers -------------------------------------------------------------------------------------
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- static files --------------------------------------------------------------------------------
# Served from where they lie, found once at start; addresses carry a content hash (config.assets), so no
# collection step can be forgotten and an upgrade never meets an old copy.
STATIC_URL = "/static/"
STATIC_ROOT = None
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_MAX_AGE = 24 * 3600
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.assets.HashedAddresses"},
}
MEDIA_ROOT = HOLDFAST_DATA / "files"

# --- API -----------------------------------------------------------------------------------------
HOLDFAST_API_PER_MINUTE = env.number(
    "HOLDFAST_API_PER_MINUTE",
    6000,
    low=1,
    help="API requests a minute that one user may make of one web process",
)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "incidents.api.auth.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["incidents.api.auth.Scoped"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "incidents.api.pages.CursorPages",
    "DEFAULT_SCHEMA_CLASS": "incidents.api.schema.Described",
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": f"{HOLDFAST_API_PER_MINUTE}/min"},
    # `format` is a parameter of the post-mortem's export, not a way around Accept
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "incidents.api.problems.handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast",
    "DESCRIPTION": "Incident response for AI systems.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "incidents.api.schema.with_refusals",
    ],
}

# --- language and time ---------------------------------------------------------------------------
LANGUAGE_CODE = "en-us"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# --- playbooks -----------------------------------------------------------------------------------
HOLDFAST_FOUR_EYES_FROM = env.choice(
    "HOLDFAST_FOUR_EYES_FROM", "R3", ("R1", "R2", "R3", "R4", "off"),
    help="risk class from which a playbook's draft is published by somebody other than its author",
)  # fmt: skip

# --- logs ----------------------------------------------------------------------------------------
HOLDFAST_LOG_LEVEL = env.choice(
    "HOLDFAST_LOG_LEVEL",
    "INFO",
    ("DEBUG", "INFO", "WARNING", "ERROR"),
    help="what is logged, to standard error",
)
HOLDFAST_LOG_FORMAT = env.choice(
    "HOLDFAST_LOG_FORMAT",
    "text" if sys.stderr.isatty() else "json",
    ("json", "text"),
    help="one JSON object or one readable line per record; default: text on a terminal",
)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "config.logs.JsonLines"},
        "text": {"()": "config.logs.TextLines"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": HOLDFAST_LOG_FORMAT}},
    "root": {"handlers": ["stderr"], "level": HOLDFAST_LOG_LEVEL},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # a refused page is an answer, not a fault: requests are told once, by config.observability
        "django.request": {"level": "ERROR"},
        "django.security.DisallowedHost": {"level": "ERROR"},
        "axes": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
    },
}
SILENCED_SYSTEM_CHECKS = [
    "security.W005",  # HSTS speaks for this host; its subdomains and the preload list are the operator's
    "security.W021",
    "security.W008",  # the proxy redirects to https
]
