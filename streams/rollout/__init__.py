"""The life of a model: states, the pointer to the champion, operators who move it, workers who follow it."""
