"""From scored candidates to the list that people see, with its reasons."""
