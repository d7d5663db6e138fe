"""Every problem set there is."""

from ps1_variants import PS1
from ps2_variants import PS2
from ps3_variants import PS3

SETS = [PS1, PS2, PS3]
