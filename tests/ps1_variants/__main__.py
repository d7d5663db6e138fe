from variants.table import table

from ps1_variants import PS1

print(table(PS1))
