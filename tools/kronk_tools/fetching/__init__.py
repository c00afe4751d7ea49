"""HTTP fetching with SSRF protection, limits and robots.txt."""
