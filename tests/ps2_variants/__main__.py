from variants.table import table

from ps2_variants import PS2

print(table(PS2))
