"""Metrics of grounded multimodal named entity recognition and what they are measured on."""
