"""What the server is compared with: the same checkpoint, served or run another way."""
