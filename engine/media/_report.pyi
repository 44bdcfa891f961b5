# Kernels for other .pyx only: see _report.pxd.
