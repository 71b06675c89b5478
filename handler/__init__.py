"""The deployed function: issues CVM key pairs whose private half is sealed to the caller."""
