"""Tables of the core: people, AI systems, severity, alerts, incidents, timeline, learning."""

from .alerts import Alert, GroupingRule, Silence, Storm
from .audit import AuditEntry
from .change import Change
from .decision import AffectedDecision
from .event import Event
from .evidence import Evidence
from .incident import Incident
from .notice import Notice
from .people import ApiToken, RoleGrant, Team, User
from .postmortem import ActionItem, ContributingFactor, PostMortem, Review
from .reply import IdempotentReply
from .retention import Retention
from .severity import Holiday, ResponseDue, ResponseTarget, SeverityAssessment, SeverityProfile
from .systems import AISystem, Dataset, Deployment, ModelVersion, SystemLink
from .views import Pin, SavedView
from .work import Attestation, Clock, IncidentRole, Task

__all__ = [
    "AISystem",
    "ActionItem",
    "AffectedDecision",
    "Alert",
    "ApiToken",
    "Attestation",
    "AuditEntry",
    "Change",
    "Clock",
    "ContributingFactor",
    "Dataset",
    "Deployment",
    "Event",
    "Evidence",
    "GroupingRule",
    "Holiday",
    "IdempotentReply",
    "Incident",
    "IncidentRole",
    "ModelVersion",
    "Notice",
    "Pin",
    "PostMortem",
    "ResponseDue",
    "ResponseTarget",
    "Retention",
    "Review",
    "RoleGrant",
    "SavedView",
    "SeverityAssessment",
    "SeverityProfile",
    "Silence",
    "Storm",
    "SystemLink",
    "Task",
    "Team",
    "User",
]
