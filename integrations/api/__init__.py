"""The REST API of the roof: connections, deliveries, inbox."""
