"""For browsers: the page and what it needs, the form without JavaScript, and who may call from elsewhere."""
