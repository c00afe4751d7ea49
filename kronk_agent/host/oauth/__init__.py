"""OAuth 2.1 logins to remote servers."""
