"""Django's name tag for the config room: joins the floors' wake calls to the waker."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from config import checks  # noqa: F401  registers the checks
        from config.waker import waker
        from incidents.wake import register

        register(waker)
