"""The Faust side: what reads, what publishes, and the tasks between. No arithmetic about people or items in here."""
