"""How well graders agree with one another."""
