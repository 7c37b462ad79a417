"""Signed links to one question for one person: on a phone, from a message, straight to yes and no.

A link names the approval, the person and the hash of the parameters that are asked about; it ends with the
question, and a vote can be cast once. Opening it decides nothing. It needs a sign-in as that person, except where
the installation allows otherwise (`HOLDFAST_LINK_APPROVALS`), and then only a link that was sent to nobody but
that person.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils import timezone

from incidents.lifecycle import Refused
from incidents.models import User
from playbooks.approvals import objection
from playbooks.electorate import electorate
from playbooks.models import Approval

SALT = "holdfast.approval-link"
#: How long a link to a question without an end works.
LONGEST = timedelta(hours=72)
#: People who get a link of their own in one message.
PEOPLE = 3
#: The highest class that may be decided without a sign-in, whatever the setting says.
HIGHEST = "R2"


def token(asked: Approval, person: User, *, alone: bool = False) -> str:
    """The signed part of a link. `alone`: it is sent to this person and to nobody else."""
    return signing.dumps([asked.pk, person.pk, asked.input_hash, int(alone)], salt=SALT, compress=True)


def address(asked: Approval, person: User, *, alone: bool = False) -> str:
    """The whole link."""
    path = reverse("playbooks:answer_link", args=[token(asked, person, alone=alone)])
    return settings.HOLDFAST_BASE_URL.rstrip("/") + path


def read(signed: str) -> tuple[Approval, User, bool]:
    """The question, the person, and whether the link was sent to that person alone.

    Raises Refused for a link that was tampered with or is over: too old, decided, other parameters, a person who
    has left or who may not answer (any more).
    """
    try:
        pk, person_pk, shown, alone = signing.loads(signed, salt=SALT, max_age=LONGEST)
    except signing.SignatureExpired as error:
        raise Refused(
            "approve", ["This link is too old. Open the question from your list of approvals."]
        ) from error
    except (signing.BadSignature, ValueError, TypeError) as error:
        raise Refused(
            "approve", ["This link is damaged. Open the question from your list of approvals."]
        ) from error
    asked = (
        Approval.objects.select_related(
            "incident__system", "run__playbook", "run__started_by", "run__version", "step", "decided_by"
        )
        .defer("run__version__source", "run__version__frozen")
        .filter(pk=pk)
        .first()
    )
    person = User.objects.filter(pk=person_pk, is_active=True).first()
    if asked is None or person is None:
        raise Refused("approve", ["The question or the person of this link is no longer there."])
    if asked.input_hash != shown:
        raise Refused("approve", ["The parameters are no longer those of this link. Open the question anew."])
    if why := objection(asked, person):
        raise Refused("approve", [why])
    return asked, person, bool(alone)


def without_sign_in(asked: Approval, alone: bool) -> bool:
    """Whether this link may decide although nobody is signed in."""
    limit = str(settings.HOLDFAST_LINK_APPROVALS)
    return alone and bool(limit) and asked.kind == "approve" and asked.risk <= min(limit, HIGHEST)


def offered(approval: Any, recipient: str) -> tuple[tuple[str, str], ...]:
    """(label, link) for a message about the approval: the recipient's own where the message goes to the e-mail
    address of one person, else those of the first few who may answer."""
    asked = (
        Approval.objects.select_related("incident", "run__version", "step")
        .filter(pk=approval, kind="approve")
        .first()
    )
    if (
        asked is None
        or asked.decision != "pending"
        or (asked.expires_at and asked.expires_at <= timezone.now())
    ):
        return ()
    people = [user for user, _ in electorate(asked).may]
    for person in people:
        if recipient and person.email and person.email.lower() == recipient.strip().lower():
            return (("Approve or reject", address(asked, person, alone=True)),)
    return tuple((f"Decide as {person}", address(asked, person)) for person in people[:PEOPLE])
