"""What runs on a call for an application of somebody else: a dialect's interpreter, carried out."""
