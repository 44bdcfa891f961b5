# Kernels for other .pyx only: see _peer.pxd.
