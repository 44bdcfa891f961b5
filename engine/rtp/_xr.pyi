# Kernels for other .pyx only: see _xr.pxd; `engine.rtp._rtcp` is their front.
