"""Runs that train a network in a folder of its own: its configuration, its states, how it goes on and how it ends."""
