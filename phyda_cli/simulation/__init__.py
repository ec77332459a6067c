"""A nature run of an open general circulation model, and imperfect forecasts of it (extra `phyda[simulate]`)."""
