"""Preparation and control of the containers of `docker-compose.yml`."""
