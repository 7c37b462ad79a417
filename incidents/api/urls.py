"""The core's part of `/api/v1/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from incidents.api import views

router = SimpleRouter()
router.register("systems", views.SystemViewSet, "api-system")
router.register("alerts", views.AlertViewSet, "api-alert")
router.register("incidents", views.IncidentViewSet, "api-incident")
router.register("postmortems", views.PostMortemViewSet, "api-postmortem")
router.register("clocks", views.ClockViewSet, "api-clock")

urlpatterns = [*router.urls, path("insights/", views.InsightsView.as_view(), name="api-insights")]
