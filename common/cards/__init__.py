"""The model cards: finding, reading, checking them."""
