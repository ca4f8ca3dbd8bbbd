"""What `import head2head` offers, thin over the rest."""
