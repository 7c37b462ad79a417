"""The pages of the roof: one set for all providers, drawn from what each provider declares."""
