"""What people see of a live run: the window, the web page, and their keys."""
