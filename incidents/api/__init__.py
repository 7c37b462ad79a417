"""The REST API of the core, and what the other floors' APIs share: tokens, problems, pages, idempotency."""
