"""Addresses of the roof's pages."""

from django.urls import path

from integrations.pages import connections, context, deliveries, inbox, routes, running

app_name = "integrations"
urlpatterns = [
    path("connections/", connections.connections, name="connections"),
    path("connections/new/", connections.new, name="new"),
    path("connections/<int:pk>/", connections.connection, name="connection"),
    path("connections/<int:pk>/switch/", connections.switch, name="switch"),
    path("connections/<int:pk>/address/", connections.address, name="address"),
    path("connections/<int:pk>/test/", connections.test, name="test"),
    path("connections/<int:pk>/sending/", running.sending, name="sending"),
    path("connections/<int:pk>/last/", running.last, name="last"),
    path("connections/<int:pk>/expectation/", running.expectation, name="expectation"),
    path("connections/<int:pk>/people/", running.people, name="people"),
    path("connections/<int:pk>/routes/", routes.routes, name="routes"),
    path("connections/<int:pk>/routes/<int:route>/", routes.route, name="route"),
    path("incidents/<incident:key>/context/", context.context, name="context"),
    path("deliveries/", deliveries.deliveries, name="deliveries"),
    path("deliveries/again/", deliveries.again_all, name="again_all"),
    path("deliveries/<int:pk>/", deliveries.delivery, name="delivery"),
    path("deliveries/<int:pk>/part/", deliveries.delivery_part, name="delivery_part"),
    path("deliveries/<int:pk>/again/", deliveries.again, name="again"),
    path("inbox/", inbox.inbox, name="inbox"),
    path("inbox/replay/", inbox.replay_many, name="replay_many"),
    path("inbox/<int:pk>/", inbox.message, name="message"),
]
