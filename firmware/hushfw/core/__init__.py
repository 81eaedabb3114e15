"""Pure logic of a meter: integers only, no input or output, no clock, no hardware."""
