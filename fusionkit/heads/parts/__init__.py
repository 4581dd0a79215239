"""What several heads are made of: each branch's features brought to one form, and options."""
