"""One run at a time holds a key: `concurrency` of a playbook, or of one of its steps.

A hold is a row, unique by its key. It goes with the end of its run or step, in the same commit; where that was
missed, whoever comes next sees that the holder has ended and takes the hold over.
"""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from incidents.wake import wake
from playbooks.known import UNDER_WAY, ancestors
from playbooks.models import Hold, Run, Step

#: Seconds after which a queueing run looks again although nobody has woken it.
LOOK = 30.0


def take(key: str, run: Run, step: Step | None, now: datetime) -> str:
    """Take the key, or say who holds it. Holding it already, or through a run above, is taking it. Call it inside
    a transaction that holds the run's lock."""
    held = (
        Hold.objects.select_for_update(of=("self",))
        .select_related("run__playbook", "step")
        .filter(key=key)
        .first()
    )
    if held is not None:
        if held.run_id in (run.pk, *(above.pk for above in ancestors(run))):
            return ""
        if _alive(held):
            return f"run {held.run_id} (“{held.run.playbook}” on INC-{held.run.incident_id})"
    before = Run.objects.filter(wants=key, state="waiting", pk__lt=run.pk).order_by("pk").first()
    if before is not None:
        return f"run {before.pk}, which queued earlier"
    try:
        with transaction.atomic():
            if held is not None:
                held.delete()
            Hold.objects.create(key=key, run=run, step=step, since=now)
    except IntegrityError:
        return "another run, just now"
    return ""


def release(run: Run, step: Step | None, now: datetime) -> None:
    """Give back what the run, or one of its steps, holds, inside the commit that ends it; the next one is woken."""
    held = Hold.objects.filter(run=run) if step is None else Hold.objects.filter(run=run, step=step)
    for key in list(held.values_list("key", flat=True)):
        Hold.objects.filter(key=key, run=run).delete()
        # the row is not locked: the one woken looks for itself, and all others look now and then
        after = Run.objects.filter(wants=key, state="waiting").order_by("pk").first()
        if after is not None:
            Step.objects.filter(run=after, state="waiting").update(wake_at=now)
            Run.objects.filter(pk=after.pk, state="waiting").update(wake_at=now)
            wake("run", after.pk)


def _alive(held: Hold) -> bool:
    return held.run.is_live and (held.step is None or held.step.state in UNDER_WAY)
