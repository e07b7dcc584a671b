"""Records of what a report says beyond its verdicts, a file a topic."""
