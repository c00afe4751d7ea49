"""Features servers may request of their client: sampling, elicitation and roots."""
