"""The playbook floor's part of `/api/v1/`."""

from rest_framework.routers import SimpleRouter

from playbooks.api.approvals import ApprovalViewSet
from playbooks.api.playbooks import PlaybookViewSet
from playbooks.api.runs import RunViewSet

router = SimpleRouter()
router.register("playbooks", PlaybookViewSet, "api-playbook")
router.register("runs", RunViewSet, "api-run")
router.register("approvals", ApprovalViewSet, "api-approval")

urlpatterns = router.urls
