"""The roof's part of `/api/v1/`."""

from django.urls import path, re_path
from rest_framework.routers import SimpleRouter

from integrations.api.connections import ConnectionViewSet
from integrations.api.context import ContextView
from integrations.api.deliveries import DeliveryViewSet, InboxViewSet
from integrations.api.feeds import FeedView, ODataService, ODataSet
from integrations.api.routes import RouteViewSet

router = SimpleRouter()
router.register("connections", ConnectionViewSet, "api-connection")
router.register("routes", RouteViewSet, "api-route")
router.register("deliveries", DeliveryViewSet, "api-delivery")
router.register("inbox", InboxViewSet, "api-inbox")

urlpatterns = [
    *router.urls,
    re_path(r"^incidents/(?P<id>INC-[0-9]{1,18})/context/$", ContextView.as_view(), name="api-context"),
    re_path(r"^feeds/(?P<table>[a-z]{1,20})/$", FeedView.as_view(), name="api-feed"),
    path("odata/", ODataService.as_view(), name="api-odata"),
    re_path(r"^odata/(?P<resource>.{1,120})$", ODataSet.as_view(), name="api-odata-set"),
]
