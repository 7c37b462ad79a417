"""Addresses of signing in."""

from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.generic import RedirectView

from config.sign_in import mine, pages

urlpatterns = [
    path("login/", pages.login, name="login"),
    path("login/second-factor/", pages.second_factor, name="second_factor"),
    path("login/sso/", pages.sso, name="sso"),
    path("login/sso/callback/", pages.sso_callback, name="sso_callback"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/login/", pages.console_door, name="console_door"),
    path("admin/password_change/", RedirectView.as_view(pattern_name="my_sign_in"), name="console_password"),
    path("settings/sign-in/", mine.sign_in, name="my_sign_in"),
    path("settings/sign-in/again/", mine.again, name="sign_in_again"),
    path("settings/sign-in/password/", mine.password, name="my_password"),
    path("settings/sign-in/authenticator/", mine.app, name="my_authenticator"),
    path("settings/sign-in/passkey/", mine.passkey, name="my_passkey"),
    path("settings/sign-in/recovery-codes/", mine.codes, name="my_recovery_codes"),
    path("settings/sign-in/factors/<int:pk>/removal/", mine.factor_removal, name="my_factor_removal"),
    path("settings/sign-in/sessions/<slug:name>/end/", mine.session_end, name="my_session_end"),
    path("settings/sign-in/other-sessions/end/", mine.sessions_end, name="my_sessions_end"),
]
