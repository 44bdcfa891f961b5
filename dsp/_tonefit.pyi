"""No Python face: see _tonefit.pxd."""
