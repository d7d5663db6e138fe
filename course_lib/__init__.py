"""The reusable pieces of Large Models from First Principles, one idea per file."""
