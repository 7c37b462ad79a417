"""The roof's part of `/api/v1/`."""

from rest_framework.routers import SimpleRouter

from integrations.api.connections import ConnectionViewSet
from integrations.api.deliveries import DeliveryViewSet, InboxViewSet

router = SimpleRouter()
router.register("connections", ConnectionViewSet, "api-connection")
router.register("deliveries", DeliveryViewSet, "api-delivery")
router.register("inbox", InboxViewSet, "api-inbox")

urlpatterns = router.urls
