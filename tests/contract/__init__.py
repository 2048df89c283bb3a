"""What every runtime must do, written once."""
