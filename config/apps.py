"""Django's name tag for the config room: joins the floors when everything is loaded."""

from django.apps import AppConfig
from django.contrib.admin import apps as console


class ConfigConfig(AppConfig):
    name = "config"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from config import checks, wiring  # noqa: F401  checks registers itself
        from config.waker import waker
        from incidents.wake import register

        register(waker)
        wiring.connect()


class ConsoleConfig(console.AdminConfig):
    """Django's console, with its front page arranged by task."""

    default = False  # this module's own is ConfigConfig
    default_site = "incidents.console.ConsoleSite"
