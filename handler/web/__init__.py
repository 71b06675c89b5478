"""For browsers: the page and its files, the form without JavaScript, and the cross-origin rules."""
