from variants.table import table

from ps3_variants import PS3

print(table(PS3))
