"""Small models of other tasks than the taxi one, as a user writes them."""
