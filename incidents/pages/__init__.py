"""The pages of the core, rendered on the server; one small view per noun. Other floors add panels."""
