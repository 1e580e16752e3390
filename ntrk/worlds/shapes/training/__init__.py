"""How the model of the shapes world and its rewards were made: ``make train-world``."""
