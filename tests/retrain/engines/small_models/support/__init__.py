"""Multiclass: which team a support ticket belongs to."""
