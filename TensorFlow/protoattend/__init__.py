"""ProtoAttend (Arik and Pfister, JMLR 2020): decisions by a few prototypes, in TensorFlow."""
