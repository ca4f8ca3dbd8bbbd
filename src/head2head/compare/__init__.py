"""`head2head compare`: which head is best on these data, asked in one command and answered by a race."""
