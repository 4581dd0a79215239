"""What keeps the policies right while a model trains: in a plain loop, Lightning or a Trainer."""
