# Kernels for other .pyx only: see _transmit.pxd.
