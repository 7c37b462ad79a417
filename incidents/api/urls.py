"""The core's part of `/api/v1/`."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from incidents.api.alerts import AlertViewSet
from incidents.api.audit import AuditViewSet
from incidents.api.changes import ChangeViewSet
from incidents.api.clocks import ClockViewSet
from incidents.api.incidents import IncidentViewSet
from incidents.api.insights import InsightsView
from incidents.api.notices import NoticeViewSet
from incidents.api.postmortems import PostMortemViewSet
from incidents.api.saved_views import SavedViewViewSet
from incidents.api.silences import SilenceViewSet
from incidents.api.systems import SystemViewSet

router = SimpleRouter()
router.register("systems", SystemViewSet, "api-system")
router.register("alerts", AlertViewSet, "api-alert")
router.register("incidents", IncidentViewSet, "api-incident")
router.register("postmortems", PostMortemViewSet, "api-postmortem")
router.register("saved-views", SavedViewViewSet, "api-saved-view")
router.register("notices", NoticeViewSet, "api-notice")
router.register("silences", SilenceViewSet, "api-silence")
router.register("clocks", ClockViewSet, "api-clock")
router.register("audit", AuditViewSet, "api-audit")
router.register("changes", ChangeViewSet, "api-change")

urlpatterns = [*router.urls, path("insights/", InsightsView.as_view(), name="api-insights")]
