"""The networks in torch; their sizes are data of slot_attention.network."""
