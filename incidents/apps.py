"""Django's name tag for the incidents floor."""

from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from incidents import audit  # late: it needs the tables' classes

        audit.listen()
