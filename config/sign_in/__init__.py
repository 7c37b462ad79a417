"""Who comes in: passwords, single sign-on, second factors, and the browsers that are signed in."""
