"""Models made of models: branches taken out, put in and exchanged; parts copied; averages."""
