"""Every problem set there is."""

from ps1_variants import PS1
from ps2_variants import PS2
from ps3_variants import PS3
from ps4_variants import PS4

SETS = [PS1, PS2, PS3, PS4]
