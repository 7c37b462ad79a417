"""The playbook floor's part of `/api/v1/`."""

from django.urls import path, re_path
from rest_framework.permissions import AllowAny
from rest_framework.routers import SimpleRouter

from playbooks.api.approvals import ApprovalViewSet
from playbooks.api.plans import PlanView
from playbooks.api.playbooks import PlaybookViewSet
from playbooks.api.runs import RunViewSet
from playbooks.api.simulations import SimulationViewSet

router = SimpleRouter()
router.register("playbooks", PlaybookViewSet, "api-playbook")
router.register("runs", RunViewSet, "api-run")
router.register("approvals", ApprovalViewSet, "api-approval")
router.register("simulations", SimulationViewSet, "api-simulation")

urlpatterns = [
    re_path(r"^incidents/(?P<id>INC-[0-9]{1,18})/plan/$", PlanView.as_view(), name="api-plan"),
    path(
        "playbooks/schema.json",
        PlaybookViewSet.as_view({"get": "json_schema"}, permission_classes=[AllowAny]),
        name="api-playbook-schema",
    ),
    *router.urls,
]
