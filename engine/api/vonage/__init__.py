"""The Voice API in Vonage's dialect (`dialects.md` §6.3)."""
