"""What SWML and RELAY have in common: identities, media, keys, devices, payments."""
