"""What takes time on a call, whichever dialect asks: playing, collecting keys, connecting, recording, payments."""
