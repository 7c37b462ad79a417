"""The demo world: data, systems and people of our own making, and stories replayed through the real inbound path."""
