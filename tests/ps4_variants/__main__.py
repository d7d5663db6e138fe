from variants.table import table

from ps4_variants import PS4

print(table(PS4))
