"""Binary, with a vocabulary that is learnt from the data: whether an order is sent back."""
