"""What servers may ask of their client: sampling, elicitation and roots."""
