"""The single calls about terminals, settlement, saved cards and charges, a file for each group."""
