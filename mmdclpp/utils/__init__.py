"""Small parts with no place in the data flow."""
