# Kernels for other .pyx only: see _room.pxd.
