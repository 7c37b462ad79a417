"""quarantine_data and release_data: a bad batch in a folder is put where nothing reads it, and comes back whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from integrations.actions.quarantine_data import QuarantineData
from integrations.actions.release_data import ReleaseData
from playbooks.contract import ActionError, Unverified
from tests.integrations.data_scenes import ACT, acted, by_hand, kept, nearby, outputs
from tests.playbooks.scenes import advance, started, step

__all__ = ["nearby"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("nearby")]
ROWS = {"part-0.csv": b"a,b\n1,2\n", "more/part-1.csv": b"a,b\n3,4\n"}


@pytest.fixture
def lake(tmp_path: Path, settings: Settings) -> Path:
    """A data root with the batch of 2 May in it."""
    settings.HOLDFAST_DATA_ROOTS = [tmp_path]
    for name, content in ROWS.items():
        path = tmp_path / "orders" / "2030-05-02" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def batch(lake: Path) -> dict[str, bytes]:
    top = lake / "orders" / "2030-05-02"
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*.csv")}


PARAMS = {"location": "orders/2030-05-02", "reason": "Null rate 40 %"}


def test_a_bad_batch_is_held_with_its_bytes_and_hashes(lake: Path) -> None:
    run = acted("quarantine_data", PARAMS)
    assert run.state == "succeeded", run.reason
    assert batch(lake) == {}
    held = Path(outputs(run)["held_at"])
    assert (held / "data/2030-05-02/part-0.csv").read_bytes() == ROWS["part-0.csv"]
    manifest = json.loads((held / "manifest.json").read_bytes())
    hashes = {item["path"]: item["digest"] for item in manifest["items"]}
    assert hashes == {name: hashlib.sha256(content).hexdigest() for name, content in ROWS.items()}
    assert manifest["incident"] == run.incident.key
    assert kept(run, "manifest.json")["items"] == manifest["items"]
    assert step(run, "A-1").verified == {"held": 2, "left": 0}


def test_what_did_not_help_is_taken_back(lake: Path) -> None:
    run = acted("quarantine_data", PARAMS, helps=False)
    assert "Undone: A-1." in run.reason
    assert batch(lake) == ROWS


def test_a_producer_that_goes_on_is_noticed(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The move is made and the producer writes the same folder again: the readers still get bad data."""
    run_it = QuarantineData.run

    def and_again(self: QuarantineData, ctx: object) -> object:
        done = run_it(self, ctx)  # type: ignore[arg-type]
        (lake / "orders" / "2030-05-02").mkdir()
        (lake / "orders" / "2030-05-02" / "part-2.csv").write_text("a,b\n")
        return done

    monkeypatch.setattr(QuarantineData, "run", and_again)
    run = acted("quarantine_data", PARAMS)
    assert run.state == "failed"
    assert "part-2.csv. Whoever writes there goes on" in run.reason


def test_a_single_file_and_a_quarantine_of_ones_own_choice(lake: Path) -> None:
    run = acted(
        "quarantine_data", {**PARAMS, "location": "orders/2030-05-02/part-0.csv", "quarantine": "held"}
    )
    assert run.state == "succeeded", run.reason
    assert set(batch(lake)) == {"more/part-1.csv"}
    assert Path(outputs(run)["held_at"]).parent == lake / "held"


def test_a_repeated_try_finds_what_the_first_one_moved(lake: Path) -> None:
    ctx = by_hand(**PARAMS)
    first = QuarantineData().run(ctx)
    QuarantineData().precheck(ctx)
    assert QuarantineData().run(ctx).outputs == first.outputs


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("../elsewhere", "does not lie in one of the data folders"),
        (".", "does not lie in one of the data folders"),
        ("orders/2030-05-03", "There is nothing at"),
    ],
)
def test_only_what_is_in_the_data_folders_is_moved(lake: Path, location: str, says: str) -> None:
    with pytest.raises(ActionError, match=says):
        QuarantineData().precheck(by_hand(**{**PARAMS, "location": location}))


def test_a_link_out_of_the_data_folders_is_not_followed(
    lake: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (lake / "orders" / "link").symlink_to(tmp_path_factory.mktemp("private"))
    with pytest.raises(ActionError, match="does not lie in"):
        QuarantineData().precheck(by_hand(**{**PARAMS, "location": "orders/link"}))


def test_a_batch_with_a_link_in_it_is_not_moved(lake: Path) -> None:
    (lake / "orders" / "2030-05-02" / "link.csv").symlink_to("/etc/hostname")
    with pytest.raises(ActionError, match=r"link\.csv is a link"):
        QuarantineData().precheck(by_hand(**PARAMS))


def test_a_rehearsal_moves_nothing(lake: Path) -> None:
    run = advance(started(ACT.format(action="quarantine_data", params=json.dumps(PARAMS)), dry_run=True))
    assert run.state == "succeeded", run.reason
    assert batch(lake) == ROWS


def held_at(lake: Path) -> str:
    return str(QuarantineData().run(by_hand(**PARAMS)).outputs["held_at"])


def test_a_release_compares_hashes_and_brings_the_batch_back(lake: Path) -> None:
    run = acted("release_data", {"held_at": held_at(lake)})
    assert run.state == "succeeded", run.reason
    assert batch(lake) == ROWS
    assert step(run, "A-1").verified == {"items": 2}


def test_a_release_that_did_not_help_is_taken_back(lake: Path) -> None:
    where = held_at(lake)
    run = acted("release_data", {"held_at": where}, helps=False)
    assert "Undone: A-1." in run.reason
    assert batch(lake) == {}
    assert (Path(where) / "data/2030-05-02/part-0.csv").exists()


def test_a_batch_that_was_tampered_with_in_quarantine_is_not_released(lake: Path) -> None:
    where = held_at(lake)
    (Path(where) / "data/2030-05-02/part-0.csv").write_text("a,b\n9,9\n")
    with pytest.raises(Unverified, match=r"part-0\.csv has changed"):
        ReleaseData().precheck(by_hand(held_at=where))


def test_a_batch_that_was_sent_again_is_not_overwritten(lake: Path) -> None:
    where = held_at(lake)
    (lake / "orders" / "2030-05-02").mkdir()
    (lake / "orders" / "2030-05-02" / "part-0.csv").write_text("new")
    with pytest.raises(ActionError, match="There is data at"):
        ReleaseData().precheck(by_hand(held_at=where))


def test_a_manifest_that_points_elsewhere_leads_nowhere(lake: Path) -> None:
    where = Path(held_at(lake))
    manifest = json.loads((where / "manifest.json").read_bytes())
    (where / "manifest.json").write_text(json.dumps({**manifest, "origin": "/etc/cron.d/x"}))
    with pytest.raises(ActionError, match="does not lie in one of the data folders"):
        ReleaseData().precheck(by_hand(held_at=str(where)))
