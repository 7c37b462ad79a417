"""Messages on their way out: announce writes deliveries, deliver carries them."""
