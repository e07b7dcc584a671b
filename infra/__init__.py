"""What runs dermtune on rented and shared machines; it stands above dermtune, which knows nothing of it."""
