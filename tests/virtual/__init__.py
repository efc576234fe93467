"""The virtual board: a real kernel, a real UART, real SSH. Needs QEMU, a cross compiler and apt; see the README."""
