"""The matrix of Pythons: `python -m tests.pythons` runs core and adapters on every interpreter that the machine has."""
