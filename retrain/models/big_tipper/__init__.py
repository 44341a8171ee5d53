"""Does this taxi trip end with a tip above a fifth of the fare?"""
