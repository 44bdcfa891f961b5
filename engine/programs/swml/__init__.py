"""SWML on calls: documents are fetched and carried out."""
