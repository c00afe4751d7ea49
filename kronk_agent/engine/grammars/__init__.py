"""What a client's grammar may cost: its limits, and the process that dangerous ones run in."""
