"""Database engine `config.sqlite`: Django's SQLite with one fair write lock per process."""
