"""evolution-scheduler: campaigns, generations, slots and attempts."""
