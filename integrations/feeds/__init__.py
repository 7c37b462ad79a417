"""What is fed out to those who analyse: incidents, alerts, runs and KPIs as CSV, Parquet and OData."""
