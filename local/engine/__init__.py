"""The program, evaluated and made into resources."""
