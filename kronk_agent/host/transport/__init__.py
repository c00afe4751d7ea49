"""How messages travel between us and a server: by pipe or HTTP, read leniently."""
