"""Values and arithmetic: no Ray, no I/O, no clock but in `clock`."""
