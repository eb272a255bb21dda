"""Object discovery: an autoencoder whose slots find the objects of a scene."""
