"""Which change to a long-tailed medical image classifier is real?"""
