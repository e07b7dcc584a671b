"""From a folder of images and a metadata file to train, val and test in memory."""
