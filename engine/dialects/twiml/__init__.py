"""TwiML documents: what they say, and what they make happen on a call (`dialects.md` §4)."""
