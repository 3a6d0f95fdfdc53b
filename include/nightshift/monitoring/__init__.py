"""How good published predictions turned out to be, day by day."""
