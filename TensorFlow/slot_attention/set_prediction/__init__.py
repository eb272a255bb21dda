"""Set prediction: the properties of every object of a scene, one slot each."""
