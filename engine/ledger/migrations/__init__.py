"""Migrations of the ledger's schema, run when it is opened."""
