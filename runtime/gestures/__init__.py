"""Gestures of hands from their keypoints: by rules, or learned from a user's own pictures."""
