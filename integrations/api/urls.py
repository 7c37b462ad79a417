"""The roof's part of `/api/v1/`."""

from rest_framework.routers import SimpleRouter

from integrations.api.connections import ConnectionViewSet
from integrations.api.deliveries import DeliveryViewSet, InboxViewSet
from integrations.api.routes import RouteViewSet

router = SimpleRouter()
router.register("connections", ConnectionViewSet, "api-connection")
router.register("routes", RouteViewSet, "api-route")
router.register("deliveries", DeliveryViewSet, "api-delivery")
router.register("inbox", InboxViewSet, "api-inbox")

urlpatterns = router.urls
