from ps1_variants.table import table

print(table())
