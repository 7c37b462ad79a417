"""Addresses of the house."""

from django.contrib import admin
from django.urls import include, path, re_path

from config import api, health, metrics, search

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("", include("config.sign_in.urls")),  # before the console, whose own sign-in it stands for
    path("admin/", admin.site.urls),
    path("api/v1/", include("config.api")),
    re_path("^api/(?P<rest>.*)$", api.unknown),
    path("search/", search.everything, name="search"),
    path("", include("incidents.urls")),
    path("", include("playbooks.urls")),
    path("", include("integrations.urls")),
]

handler400 = api.bad_request
handler500 = api.server_error
