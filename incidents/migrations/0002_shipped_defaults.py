"""Shipped defaults as rows that an administrator edits: severity matrix, response targets, grouping rules."""

from django.db import migrations

from incidents import severity, targets

#: name, position, matchers, family, key_fields, extra columns
RULES = [
    (
        "Data quality by data set", 10, 'family="DATAQ"', "", ["env", "dataset", "family"],
        {"title": "Data quality of {dataset}: {title}"},
    ),
    (
        "Security and poisoning by system", 20, 'family=~"POISON|ADVERS|INJECT|LEAK|AGENT|SUPPLY"', "",
        ["env", "system", "family"], {"warning_signals": 1},
    ),
    (
        "Drift by system", 30, 'family="DRIFT"\nmetric=~"(feature_|prediction_)?(psi|js|ks|wasserstein)"', "DRIFT",
        ["env", "system", "family"],
        {
            "title": "{system}: model drift",
            "gates": [
                {"metric": "(feature_|prediction_)?psi", "gate": "noise_floor", "bins": 10},
                {"metric": "ks(_.*)?", "gate": "min_effect", "least": 0.1},
            ],
        },
    ),
    ("Everything else by system and class", 1000, "", "", ["env", "system", "family"], {}),
]  # fmt: skip


def install(apps, schema_editor):
    apps.get_model("incidents", "SeverityProfile").objects.get_or_create(
        version=1,
        defaults={"data": severity.DEFAULT_PROFILE, "active_key": True, "note": "Shipped default."},
    )
    target_model = apps.get_model("incidents", "ResponseTarget")
    for level, kinds in targets.DEFAULTS.items():
        for kind, (anchor, amount, unit) in kinds.items():
            target_model.objects.get_or_create(
                severity=level, kind=kind, defaults={"anchor": anchor, "amount": amount, "unit": unit}
            )
    rule_model = apps.get_model("incidents", "GroupingRule")
    for name, position, matchers, family, key_fields, extra in RULES:
        rule_model.objects.get_or_create(
            name=name,
            version=1,
            defaults={"position": position, "matchers": matchers, "family": family, "key_fields": key_fields, **extra},
        )


class Migration(migrations.Migration):
    dependencies = [("incidents", "0001_initial")]
    operations = [migrations.RunPython(install, migrations.RunPython.noop)]
