"""The inbox: requests from outside are kept first (202 after the commit) and understood later."""
