"""Wire types: what travels on the topics. Imports nothing but msgspec; changing a name here breaks every client."""
