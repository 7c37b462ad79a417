"""The audit log, and what keeps it from being changed: the database itself refuses."""

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

MESSAGE = "The audit log is append-only."

POSTGRESQL = f"""
CREATE FUNCTION audit_entry_stays() RETURNS trigger AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.seq IS NULL
       AND to_jsonb(NEW) - 'seq' - 'before' - 'hash' = to_jsonb(OLD) - 'seq' - 'before' - 'hash' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '{MESSAGE}';
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER audit_entry_stays BEFORE UPDATE OR DELETE ON incidents_auditentry
    FOR EACH ROW EXECUTE FUNCTION audit_entry_stays();
"""
SQLITE = (
    f"""
CREATE TRIGGER audit_entry_stays BEFORE UPDATE ON incidents_auditentry
WHEN OLD.seq IS NOT NULL OR NEW.id IS NOT OLD.id OR NEW.at IS NOT OLD.at OR NEW.kind IS NOT OLD.kind
    OR NEW.by_id IS NOT OLD.by_id OR NEW.actor IS NOT OLD.actor OR NEW.address IS NOT OLD.address
    OR NEW.incident_id IS NOT OLD.incident_id OR NEW.text IS NOT OLD.text OR NEW.data IS NOT OLD.data
    OR NEW.content IS NOT OLD.content
BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
""",
    f"""
CREATE TRIGGER audit_entry_is_not_deleted BEFORE DELETE ON incidents_auditentry
BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END
""",
)


def guard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(POSTGRESQL, params=None)
        return
    for statement in SQLITE:
        schema_editor.execute(statement, params=None)


def unguard(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP TRIGGER audit_entry_stays ON incidents_auditentry")
        schema_editor.execute("DROP FUNCTION audit_entry_stays()")
        return
    schema_editor.execute("DROP TRIGGER audit_entry_stays")
    schema_editor.execute("DROP TRIGGER audit_entry_is_not_deleted")


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0009_notices'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('kind', models.CharField(max_length=60)),
                ('actor', models.CharField(blank=True, help_text='Who acted when it was not a user.', max_length=150)),
                ('address', models.CharField(blank=True, help_text='Where the request came from.', max_length=45)),
                ('text', models.TextField()),
                ('data', models.JSONField(blank=True, default=dict)),
                ('content', models.CharField(max_length=64)),
                ('seq', models.BigIntegerField(blank=True, help_text='Place in the chain.', null=True, unique=True)),
                ('before', models.CharField(blank=True, help_text='Hash of the entry before.', max_length=64)),
                ('hash', models.CharField(blank=True, help_text='SHA-256 of before, seq and content.', max_length=64)),
                ('by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('incident', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='incidents.incident')),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'ordering': ['-id'],
                'indexes': [models.Index(condition=models.Q(('seq', None)), fields=['id'], name='unsealed_audit_entries'), models.Index(fields=['kind', '-id'], name='audit_by_kind')],
            },
        ),
        migrations.RunPython(guard, unguard),
    ]
