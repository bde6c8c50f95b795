"""Subjects, boxes, masks, comparisons and a puppet drawn with OpenCV."""
