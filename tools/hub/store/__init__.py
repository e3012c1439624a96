"""What the hub keeps: the database, its tables and their revisions, and the one writer."""
