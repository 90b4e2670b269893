"""The image that every component runs in: built from this repository (deploy/Dockerfile)."""

IMAGE = "ghcr.io/linnet-ml/linnet-python:0.1.0"
