# Kernels for other .pyx only: see _leg.pxd.
