"""RELAY on calls: what a client commands is carried out, what happens is told to it."""
