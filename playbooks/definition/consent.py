"""Whose yes a step needs: what the playbook says, what its risk asks for, and who agrees on incidents of some classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from incidents.access import RIGHTS, SECURITY

from .model import ApproveRule

#: Between roles of which one is enough.
OR = "|"
#: Who agrees where the playbook names nobody; other classes of risk take one yes of whoever holds the right.
BY_RISK: dict[str, tuple[str, ...]] = {"R2": ("IC", "BO"), "R4": ("DPO|LEG", "EXE")}
#: (risk, class of incident) → the role that agrees beside whoever holds the right, whatever the playbook says.
AS_WELL = {("R3", "POISON"): "SEC", ("R3", "BIAS"): "ETH", ("R3", "HARM"): "ETH"}


class Whose(NamedTuple):
    """Roles that narrow, one yes of each of `all_of` (alternatives with “|” between), or `quorum` of them."""

    roles: tuple[str, ...]
    all_of: tuple[str, ...]
    quorum: int


def whose_yes(rule: ApproveRule | None, risk: str, incident_class: str) -> Whose:
    """What the question asks for."""
    roles, all_of, quorum = (rule.roles, rule.all_of, rule.quorum) if rule else ((), (), 1)
    if not roles and not all_of and quorum == 1:
        all_of = BY_RISK.get(risk, ())
    also = AS_WELL.get((risk, incident_class))
    if also is None or also in all_of:
        return Whose(roles, all_of, quorum)
    by_right = RIGHTS[f"approve.{risk}"] - {also}
    beside = OR.join(sorted(by_right & frozenset(roles) or by_right))
    return Whose((), (*(all_of or (beside,) * quorum), also), 1)


def holders(risk: str, incident_class: str) -> frozenset[str]:
    """Roles whose yes may count for this risk on incidents of this class."""
    also = {AS_WELL.get((risk, incident_class), "")} - {""}
    if risk == "R2" and incident_class in SECURITY:
        also.add("SEC")
    return RIGHTS[f"approve.{max(risk, 'R1')}"] | also


def alternatives(needed: str) -> frozenset[str]:
    """The roles of which one is enough."""
    return frozenset(needed.split(OR))


def named(all_of: Iterable[str]) -> frozenset[str]:
    """Every role in it."""
    return frozenset(role for needed in all_of for role in alternatives(needed))


def in_words(needed: str) -> str:
    """“LEG or DPO”."""
    return " or ".join(needed.split(OR))
