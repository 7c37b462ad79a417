from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0003_former_secrets")]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="note",
            field=models.TextField(blank=True, default=""),
            preserve_default=False,
        ),
    ]
