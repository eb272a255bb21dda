"""Run records, and the tables that are made from them."""
