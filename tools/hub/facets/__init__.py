"""One facet per vendor: each turns its vendor's wire into domain calls and back, under its own prefix."""
