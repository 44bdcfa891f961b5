# Kernels for other .pyx only: see _bridge.pxd.
