"""Elasticsearch or OpenSearch: where playbooks read a system's log lines around an incident."""

from __future__ import annotations

from integrations.contract import Field, Provider


class Elasticsearch(Provider):
    title = "Elasticsearch"
    docs = "https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search"
    summary = "Log lines of a system around an incident are read here, counted by minute, and kept. OpenSearch, too."
    acting = True
    fields = (
        Field("base_url", "Address", "Of the cluster, such as https://logs.example.org:9200.", kind="url"),
        Field("api_key", "API key", "The encoded form; sent as ApiKey.", secret=True, required=False),
        Field("username", "User", "For basic authentication, instead of a key.", required=False),
        Field("password", "Password", secret=True, required=False),
        Field("index", "Indices", "That are searched, unless the AI system names others.", default="logs-*"),
        Field("time_field", "Field of the time", default="@timestamp"),
        Field("message_field", "Field of the message", default="message"),
        Field("level_field", "Field of the level", default="log.level"),
        Field(
            "system_fields",
            "Fields of the system",
            "Separated by commas; one of them holds the AI system's short name.",
            default="service.name",
        ),
    )
    idempotency = "Searches are read only."
