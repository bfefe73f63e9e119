"""A transformer without positions learns to predict the previous token. How?"""
