"""Addresses of the house."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path

from config import api, health, metrics, search

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("admin/", admin.site.urls),
    path("api/v1/", include("config.api")),
    re_path("^api/(?P<rest>.*)$", api.unknown),
    path("search/", search.everything, name="search"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("", include("incidents.urls")),
    path("", include("playbooks.urls")),
    path("", include("integrations.urls")),
]

handler400 = api.bad_request
handler500 = api.server_error
