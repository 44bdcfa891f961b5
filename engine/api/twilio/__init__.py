"""The REST interface as Twilio's SDKs know it (`dialects.md` §5)."""
