def symbol_table(folder):
    return "## Notation"
